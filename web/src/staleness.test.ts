import { expect, test } from 'vitest'
import type { Pollers } from './data/pollers'
import type { Job } from './job'
import { warningOf } from './staleness'
import type { Gap } from './statistics/outcomes'

const start = Date.parse('2026-11-29T08:00:00Z')
const job = {
  cadence_seconds: 10,
  duration_minutes: 60,
  status: 'running',
  monitoring_mode: 'real_polling',
  started_at: '2026-11-29T08:00:00+00:00',
  monitor_state: 'measuring',
  monitor_message: 'Measured every 10 s.',
} as Job
const alive: Pollers = { lastSeen: start + 599_000, messages: [] }
const suspended: Gap = { from: start + 500_000, to: start + 590_000, slots: 10, reason: 'Suspended' }

const at = start + 600_000
test.each<[string, Partial<Job>, number | null, Gap[], Pollers | null, number, string | null]>([
  ['samples come', {}, at - 20_000, [], alive, at, null],
  ['two cadences and what is on its way', {}, at - 35_000, [], alive, at, null],
  [
    'nothing for longer',
    {},
    at - 36_000,
    [],
    alive,
    at,
    'No sample has come for 36s. The poller is alive, so the samples may be on their way. If this lasts, whoever runs the cluster finds the cause with kubectl soundcheck doctor.',
  ],
  ['a job that has just begun', {}, null, [], alive, start + 30_000, null],
  ['a job that has not begun', {}, null, [], alive, start - 600_000, null],
  [
    'nothing at all',
    {},
    null,
    [],
    null,
    at,
    'No sample has come since the job began 10m ago. Whether a poller is alive cannot be read. If this lasts,',
  ],
  [
    'no poller ever',
    {},
    null,
    [],
    { lastSeen: null, messages: [] },
    at,
    'No sample has come since the job began 10m ago. No poller has ever reported to this database',
  ],
  [
    'a poller that is gone',
    {},
    at - 300_000,
    [],
    { lastSeen: at - 240_000, messages: [] },
    at,
    'No sample has come for 5m. The poller was last seen 4m ago: it is down',
  ],
  [
    'a poller with a complaint',
    {},
    at - 60_000,
    [],
    { ...alive, messages: ['SpreeDB does not answer.'] },
    at,
    'No sample has come for 1m. The poller says: SpreeDB does not answer.',
  ],
  [
    'a job without a target',
    { monitor_state: 'waiting', monitor_message: 'Waits for a usable target IP.' },
    null,
    [],
    alive,
    at,
    'No sample has come since the job began 10m ago. The poller says about this job: Waits for a usable target IP.',
  ],
  [
    'a suspended job',
    {},
    start + 490_000,
    [suspended],
    alive,
    at,
    'No sample has come for 1m50s. Nobody measured, because the job was suspended.',
  ],
  [
    'a gap that is over',
    {},
    start + 540_000,
    [{ ...suspended, to: start + 530_000 }],
    alive,
    at,
    'No sample has come for 1m. The poller is alive',
  ],
  [
    'a job at its end',
    {},
    start + 3_590_000,
    [],
    { lastSeen: start + 3_700_000, messages: [] },
    start + 3_700_000,
    'No sample has come for 1m50s. Its time is over',
  ],
  ['a simulated job', { monitoring_mode: 'simulated' }, null, [], null, at, null],
  ['a job that is over', { status: 'completed' }, null, [], null, at, null],
])('%s', (_, change, newest, gaps, pollers, now, want) => {
  const got = warningOf({ ...job, ...change }, newest, gaps, pollers, now)
  if (want === null) expect(got).toBeNull()
  else expect(got).toMatch(new RegExp(`^${want.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`))
})
