import { describe, expect, test } from 'vitest'
import type { Outcome, Sample } from '../statistics/outcomes'
import { columnsOf } from './columns'

const letters: Record<string, Outcome> = { m: 'missed', e: 'system_error' }

/** One sample a second: a number is an answer, m a miss, e an error, - nothing. */
function line(...words: (number | string)[]): Sample[] {
  return words.flatMap((word, i): Sample[] => {
    if (word === '-') return []
    const status = typeof word === 'number' ? 'success' : (letters[word] as Outcome)
    return [{ at: i * 1000, status, rtt: typeof word === 'number' ? word : null, jitter: null }]
  })
}

describe('columnsOf', () => {
  test('draws every value where there is room', () => {
    const c = columnsOf(line(1, 2, 3), [], 1000, 0, 3000, 300)
    expect(c).toEqual({ x: [0, 1000, 2000], y: [1, 2, 3], missed: [], failed: [], highest: 3 })
  })

  test.each([
    ['a miss', line(1, 'm', 2), []],
    ['an error', line(1, 'e', 2), []],
    ['a hole', line(1, '-', 2), []],
    ['a gap', line(1, '-', 2), [{ from: 1000, to: 1000 }]],
  ])('interrupts the line at %s', (_, samples, gaps) => {
    expect(columnsOf(samples, gaps, 1000, 0, 3000, 300).y).toEqual([1, null, 2])
  })

  test('marks misses and errors where they were due', () => {
    const c = columnsOf(line(1, 'm', 'm', 'e', 2), [], 1000, 0, 5000, 500)
    expect([c.missed, c.failed]).toEqual([[1000, 2000], [3000]])
  })

  test('goes on to the next value beyond each edge', () => {
    expect(columnsOf(line(1, 2, 3, 4, 5), [], 1000, 1500, 2500, 300).x).toEqual([1000, 2000, 3000])
  })

  test('loses no spike, no miss and no error of half a million samples', () => {
    const samples: Sample[] = []
    for (let i = 0; i < 500_000; i++) {
      const status = i === 123_456 ? 'missed' : i === 400_001 ? 'system_error' : 'success'
      const rtt = status !== 'success' ? null : i === 250_000 ? 987 : i === 77_777 ? 0.5 : 20 + (i % 7)
      samples.push({ at: i * 1000, status, rtt, jitter: null })
    }
    const c = columnsOf(samples, [], 1000, 0, 500_000_000, 1000)
    expect(c.x.length).toBeLessThanOrEqual(4 * 1000 + 8)
    expect(c.y).toContain(987)
    expect(c.y).toContain(0.5)
    expect(c.highest).toBe(987)
    expect([c.missed, c.failed]).toEqual([[123_456_000], [400_001_000]])
    expect(c.x).toEqual(c.x.toSorted((a, b) => a - b))
  })

  test('has nothing of nothing', () => {
    expect(columnsOf([], [], 1000, 0, 1000, 100).x).toEqual([])
    expect(columnsOf(line('m'), [], 1000, 0, 1000, 100)).toMatchObject({ x: [], missed: [0], highest: 0 })
  })
})
