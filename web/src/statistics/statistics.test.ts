import { describe, expect, test } from 'vitest'
import cases from './cases.json'
import { type Gap, merge, type Outcome, type Sample } from './outcomes'
import { completenessOf, errorsOf, lossOf, type Spread, statistics } from './statistics'
import { says, verdict } from './verdict'
import { duration, ms, percent } from './words'

const start = Date.parse('2026-11-23T10:00:00.123Z') + 0.456

/** An instant as internal/report writes it. */
const utc = (at: number) => `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`

/** cases.json spells the fields of a spread as Go does. */
const spread = (s: Record<string, number> | null) =>
  s && Object.fromEntries(Object.entries(s).map(([name, value]) => [name.toLowerCase(), value]))

const rounded = (value: unknown) =>
  JSON.parse(JSON.stringify(value), (_, v) => (typeof v === 'number' ? Number(v.toFixed(6)) : v))

describe('the figures and sentences are those of internal/report', () => {
  test.each(cases.map((c) => [c.name, c] as const))('%s', (_, c) => {
    const samples = c.samples.map(([at, status, rtt, jitter]): Sample => {
      return {
        at: start + Number(at),
        status: status as Outcome,
        rtt: rtt as number | null,
        jitter: jitter as number | null,
      }
    })
    const gaps = c.gaps.map(([from, to, slots, reason]): Gap => {
      return { from: start + Number(from), to: start + Number(to), slots: Number(slots), reason: String(reason) }
    })
    const grid = { start, cadence: c.cadenceSeconds * 1000, duration: c.durationMinutes * 60_000 }
    const s = statistics(grid, c.ended === null ? null : start + c.ended, samples, gaps, start + c.now)
    const got = {
      success: s.success,
      missed: s.missed,
      systemError: s.systemError,
      unmeasured: s.unmeasured,
      open: s.open,
      loss: lossOf(s),
      errors: errorsOf(s),
      completeness: completenessOf(s),
      rtt: s.rtt,
      jitter: s.jitter,
      outage: s.outage && { ...s.outage, from: s.outage.from - start, to: s.outage.to - start },
      outages: s.outages,
      verdict: verdict(s),
      says: says(s, utc),
    }
    const want = {
      ...c.want,
      rtt: spread(c.want.rtt as Spread | null as never),
      jitter: spread(c.want.jitter as never),
    }
    // A thousandth of a microsecond is what adding up in another order, and a fraction of a millisecond since 1970, may differ by.
    expect(near(rounded(got))).toEqual(near(rounded(want)))
  })
})

/** Times as differences of milliseconds since 1970 are exact to a fraction of a microsecond. */
const near = (value: object) =>
  JSON.parse(JSON.stringify(value), (_, v) => (typeof v === 'number' ? Number(v.toFixed(3)) : v))

describe('merge', () => {
  const at = (...times: number[]): Sample[] => times.map((t) => ({ at: t, status: 'missed', rtt: null, jitter: null }))
  test.each([
    ['nothing new', at(1, 2), at(), [1, 2]],
    ['the first', at(), at(1, 2), [1, 2]],
    ['at the end', at(1, 2), at(3), [1, 2, 3]],
    ['known already', at(1, 2, 3), at(2, 3, 4), [1, 2, 3, 4]],
    ['late ones in between', at(1, 2, 5, 9), at(3, 5, 7), [1, 2, 3, 5, 7, 9]],
    ['before all', at(5), at(1, 2), [1, 2, 5]],
  ])('%s', (_, known, fresh, want) => {
    const before = structuredClone(known)
    expect(merge(known, fresh).map((s) => s.at)).toEqual(want)
    expect(known).toEqual(before)
  })
})

test('words are written as in the reports', () => {
  expect([duration(0), duration(59_400), duration(7_500_000), duration(90_000_000)]).toEqual([
    '0s',
    '59s',
    '2h5m',
    '1d1h',
  ])
  expect([percent(0, 0), percent(12, 3600), percent(1, 3), percent(2, 3), percent(1, 1)]).toEqual([
    '–',
    '0.33%',
    '33.33%',
    '66.67%',
    '100.00%',
  ])
  expect([ms(null), ms(0.4242), ms(12.345), ms(135.2)]).toEqual(['–', '0.42 ms', '12.3 ms', '135 ms'])
})
