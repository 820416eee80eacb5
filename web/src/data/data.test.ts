import { describe, expect, test } from 'vitest'
import { dueText } from '../job'
import { queryOf, rangeText } from '../pages/JobList'
import type { Gap, Sample } from '../statistics/outcomes'
import { searchFilter } from './jobs'
import { firstOpen, isLast, openBefore } from './outcomes'

test('a search is for accounts and addresses, and means what was typed', () => {
  expect(searchFilter('  ')).toBeNull()
  expect(searchFilter(' 10.1 ')).toBe('account_number.ilike."%10.1%",target_ip.ilike."%10.1%"')
  expect(searchFilter('a_b%')).toBe('account_number.ilike."%a\\\\_b\\\\%%",target_ip.ilike."%a\\\\_b\\\\%%"')
  expect(searchFilter('a,b)"\\*')).toBe('account_number.ilike."%a,b)\\"\\\\\\\\%",target_ip.ilike."%a,b)\\"\\\\\\\\%"')
  expect(searchFilter('5B0C6F0E-0000-4000-8000-000000000001')).toBe('id.eq.5b0c6f0e-0000-4000-8000-000000000001')
})

test('the address of a list says what it shows, and odd ones show something', () => {
  const everything = { search: '', status: null, mode: null, sort: 'started_at', descending: true, page: 0 }
  expect(queryOf(new URLSearchParams(''))).toEqual(everything)
  expect(queryOf(new URLSearchParams('status=no&mode=?&sort=id&page=-3'))).toEqual({ ...everything, descending: false })
  expect(
    queryOf(new URLSearchParams('search=a&status=failed&mode=simulated&sort=avg_rtt_ms&order=desc&page=3')),
  ).toEqual({
    search: 'a',
    status: 'failed',
    mode: 'simulated',
    sort: 'avg_rtt_ms',
    descending: true,
    page: 2,
  })
})

test('a list says which of how many it shows', () => {
  expect([rangeText(0, 1, 1), rangeText(0, 20, 20), rangeText(1, 25, 1234)]).toEqual([
    '1 job',
    '20 jobs',
    '26 to 50 of 1,234 jobs',
  ])
})

test('an answer is the last if another was longer, or if it is empty', () => {
  expect([7, 0, 7, 5, 1000, 1000, 999].map(isLast)).toEqual([false, true, false, true, false, false, true])
})

test('a slot of a simulation is due at an exact instant', () => {
  expect(dueText('2026-11-29T08:00:00.123456+00:00', 0)).toBe('2026-11-29T08:00:00.123456Z')
  expect(dueText('2026-11-29T08:00:00.1+00:00', 3661)).toBe('2026-11-29T09:01:01.1Z')
  expect(dueText('2026-11-29T08:00:00+00:00', 1)).toBe('2026-11-29T08:00:01Z')
})

describe('what is new is looked for from the first slot without an outcome', () => {
  const grid = { start: 1000, cadence: 10_000, duration: 36_000_000 }
  const due = (...slots: number[]): Sample[] =>
    slots.map((k) => ({ at: 1000 + k * 10_000, status: 'missed', rtt: null, jitter: null }))
  const gap = (from: number, to: number): Gap => ({
    from: 1000 + from * 10_000,
    to: 1000 + to * 10_000,
    slots: to - from + 1,
    reason: 'Busy',
  })
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
  test.each<[string, Sample[], Gap[], number]>([
    ['all there', due(0, 1, 2, 3), [], 3],
    ['one on its way', due(0, 1, 3), [], 2],
    ['a gap', due(0, 1, 4), [gap(2, 3)], 4],
    ['a gap, and one on its way', due(0, 1, 5), [gap(2, 3)], 4],
    ['the beginning', due(2), [], 0],
    ['gaps in any order', due(0, 3, 6), [gap(4, 5), gap(1, 2)], 6],
    ['a hole that is long ago', due(0, ...range(2, 900)), [], 900],
    ['a hole within the last 500 slots', due(...range(0, 399), ...range(401, 900)), [], 400],
  ])('%s', (_, samples, gaps, want) => {
    expect(firstOpen(grid, { samples, gaps })).toBe(1000 + want * 10_000)
  })
  test('nothing yet', () => {
    expect(firstOpen(grid, { samples: [], gaps: [] })).toBe(Number.NEGATIVE_INFINITY)
  })
  test.each<[string, Sample[], Gap[], number, [number, number] | null]>([
    ['nothing yet', [], [], 0, null],
    ['all there', due(...range(0, 3000)), [], 0, null],
    ['what is looked at anyway', due(...range(0, 2499), 3000), [], 0, null],
    ['a little before that', due(...range(0, 2498), 3000), [], 0, [2499, 2499]],
    ['a hole', due(...range(0, 99), ...range(200, 3000)), [], 0, [100, 199]],
    ['several', due(...range(0, 99), ...range(101, 199), ...range(300, 3000)), [], 0, [100, 299]],
    ['two that are far apart', due(...range(0, 99), ...range(101, 1099), ...range(1101, 3000)), [], 0, [100, 100]],
    ['what comes next', due(...range(0, 99), ...range(101, 1099), ...range(1101, 3000)), [], 101, [1100, 1100]],
    ['nothing further', due(...range(0, 99), ...range(101, 3000)), [], 101, null],
    ['more than a request reads', due(0, 3000), [], 0, [1, 1000]],
    ['a gap', due(...range(0, 99), ...range(200, 3000)), [gap(100, 199)], 0, null],
    ['the rest of a gap', due(...range(0, 99), ...range(200, 3000)), [gap(100, 149)], 0, [150, 199]],
  ])('long before: %s', (_, samples, gaps, from, want) => {
    expect(openBefore(grid, { samples, gaps }, from)).toEqual(want && { first: want[0], last: want[1] })
  })
})
