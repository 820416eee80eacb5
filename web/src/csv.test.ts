import { expect, test } from 'vitest'
import { csvOf } from './csv'

test('a table has a line for every slot with an outcome', () => {
  const start = Date.parse('2026-11-29T08:00:00.123Z')
  const grid = { start, cadence: 10_000, duration: 3_600_000 }
  const text = csvOf(
    grid,
    [
      { at: start, status: 'success', rtt: 12.345, jitter: null },
      { at: start + 40_000, status: 'missed', rtt: null, jitter: null },
      { at: start + 50_000, status: 'success', rtt: 12, jitter: 0.345 },
    ],
    [
      { from: start + 10_000, to: start + 30_000, slots: 3, reason: 'OperatorDown' },
      { from: start + 60_000, to: start + 60_000, slots: 1, reason: '=cmd,"x"' },
    ],
  )
  expect(text.split('\r\n')).toEqual([
    'due_at,status,rtt_ms,jitter_ms,reason',
    '2026-11-29T08:00:00.123Z,success,12.345,,',
    '2026-11-29T08:00:10.123Z,unmeasured,,,OperatorDown',
    '2026-11-29T08:00:20.123Z,unmeasured,,,OperatorDown',
    '2026-11-29T08:00:30.123Z,unmeasured,,,OperatorDown',
    '2026-11-29T08:00:40.123Z,missed,,,',
    '2026-11-29T08:00:50.123Z,success,12,0.345,',
    '2026-11-29T08:01:00.123Z,unmeasured,,,"\'=cmd,""x"""',
    '',
  ])
})
