import { describe, expect, test } from 'vitest'
import { simulatable } from '../job'
import { spreadOf } from '../statistics/statistics'
import { random, sampleOf } from './simulator'

const grid = { start: 1_000_000, cadence: 10_000, duration: 7 * 86_400_000 }
const id = '5b0c6f0e-0000-4000-8000-000000000001'
const all = Array.from({ length: 60_480 }, (_, k) => sampleOf(id, grid, k))

describe('what is made up', () => {
  test('is due on the grid', () => {
    expect(all.slice(0, 3).map((s) => [s.slot, s.at])).toEqual([
      [0, 1_000_000],
      [1, 1_010_000],
      [2, 1_020_000],
    ])
  })

  test('is the same whenever it is asked for, and another for another job', () => {
    expect(sampleOf(id, grid, 4711)).toEqual(all[4711])
    const other = Array.from({ length: 100 }, (_, k) => sampleOf(id.replace('1', '2'), grid, k).rtt)
    expect(other).not.toEqual(all.slice(0, 100).map((s) => s.rtt))
  })

  test('is believable: a modem near by, with some loss, outages, errors and spikes', () => {
    const count = (status: string) => all.filter((s) => s.status === status).length / all.length
    expect(count('missed')).toBeGreaterThan(0.003)
    expect(count('missed')).toBeLessThan(0.02)
    expect(count('system_error')).toBeGreaterThan(0.0003)
    expect(count('system_error')).toBeLessThan(0.003)
    const rtt = spreadOf(all.flatMap((s) => (s.rtt === null ? [] : [s.rtt])))
    const jitter = spreadOf(all.flatMap((s) => (s.jitter === null ? [] : [s.jitter])))
    expect(rtt?.p50).toBeGreaterThan(8)
    expect(rtt?.p50).toBeLessThan(35)
    expect(rtt?.p99).toBeLessThan(120)
    expect(rtt?.max).toBeGreaterThan(60)
    expect(jitter?.p50).toBeGreaterThan(0.2)
    expect(jitter?.p50).toBeLessThan(5)
    const longest = all.reduce<[number, number]>(
      ([run, most], s) => {
        const now = s.status === 'missed' ? run + 1 : 0
        return [now, Math.max(most, now)]
      },
      [0, 0],
    )[1]
    expect(longest).toBeGreaterThanOrEqual(12)
  })

  test('has the jitter that the operator would write: the difference to the answer before', () => {
    let before: number | null = null
    for (const s of all.slice(0, 5000)) {
      if (s.status !== 'success') {
        expect([s.rtt, s.jitter]).toEqual([null, null])
        continue
      }
      expect(s.jitter).toBe(before === null ? null : Math.round(Math.abs((s.rtt as number) - before) * 1000) / 1000)
      before = s.rtt
    }
  })

  test('is drawn evenly', () => {
    const tenths = new Array(10).fill(0)
    for (let i = 0; i < 10_000; i++) tenths[Math.floor(random(id, 'x', i) * 10)]++
    for (const n of tenths) expect(Math.abs(n - 1000)).toBeLessThan(150)
  })
})

test.each([
  ['simulated', 'running', true],
  ['simulated', 'cancelled', false],
  ['simulated', 'completed', false],
  ['simulated', 'failed', false],
  ['real_polling', 'running', false],
  ['real_polling', 'completed', false],
] as const)('a job that is %s and %s is simulated: %s', (monitoring_mode, status, want) => {
  expect(simulatable({ monitoring_mode, status })).toBe(want)
})
