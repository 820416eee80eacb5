import { expect, test } from 'vitest'
import { samplesOf } from './data/outcomes'
import { type Job, type JobStatus, jobOf, type Mode, troubleOf } from './job'

// As PostgREST writes a numeric that is no number, and a time without an end.
const odd = { avg_rtt_ms: 'Infinity', packet_loss_percent: 'NaN', completed_at: '-infinity', last_ping_at: 'infinity' }

test('what cannot be shown of a job is left out, and the rest stays', () => {
  const sane = {
    id: '1',
    avg_rtt_ms: 0,
    packet_loss_percent: 2.5,
    completed_at: null,
    last_ping_at: '2026-11-29T08:00:00.123456+00:00',
  } as unknown as Job
  expect(jobOf(sane)).toEqual(sane)
  expect(jobOf({ ...sane, ...odd } as unknown as Job)).toEqual({
    id: '1',
    avg_rtt_ms: null,
    packet_loss_percent: null,
    completed_at: null,
    last_ping_at: null,
  })
})

test('a sample of no time is none, and one of no number has none', () => {
  const row = { scheduled_at: '1970-01-01T00:00:01Z', recorded_at: null, status: 'success', rtt_ms: 3, jitter_ms: null }
  expect(
    samplesOf([
      row,
      { ...row, scheduled_at: 'infinity' },
      { ...row, scheduled_at: null },
      { ...row, scheduled_at: null, recorded_at: '1970-01-01T00:00:02Z', rtt_ms: 'NaN' as unknown as number },
      { ...row, status: 'new' },
    ]),
  ).toEqual([
    { at: 1000, status: 'success', rtt: 3, jitter: null },
    { at: 2000, status: 'success', rtt: null, jitter: null },
    { at: 1000, status: 'system_error', rtt: 3, jitter: null },
  ])
})

test.each<[Mode, JobStatus, string | null, string | null]>([
  ['real_polling', 'running', null, null],
  ['real_polling', 'running', 'The device does not answer', 'The device does not answer'],
  ['real_polling', 'failed', 'Failed; there was no usable target IP', 'Failed; there was no usable target IP'],
  ['real_polling', 'completed', 'Over; all 360 polls were made', null],
  ['real_polling', 'cancelled', 'Cancelled; 2 of 3 polls were made', null],
  ['simulated', 'running', 'of a time when it was really polled', null],
])('a %s job that is %s, of which the poller says %s', (monitoring_mode, status, monitor_message, want) => {
  expect(troubleOf({ monitoring_mode, status, monitor_message })).toBe(want)
})
