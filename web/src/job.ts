import type { Grid } from './schedule'

export type JobStatus = 'running' | 'completed' | 'cancelled' | 'failed'
export type Mode = 'simulated' | 'real_polling'

/** What the modes are called, in the order in which they are offered. */
export const modeText: Record<Mode, string> = { simulated: 'Simulated', real_polling: 'Real polling' }
export const modes = Object.keys(modeText) as Mode[]

/** A row of `jobs`, as the page reads it. Times are ISO texts with microseconds. */
export interface Job {
  id: string
  account_number: string
  target_ip: string | null
  cadence_seconds: number
  duration_minutes: number
  status: JobStatus
  monitoring_mode: Mode
  started_at: string
  completed_at: string | null
  last_ping_at: string | null
  notification_email: string | null
  requester_id: string | null
  avg_rtt_ms: number | null
  packet_loss_percent: number | null
  total_samples: number | null
  monitor_state: 'waiting' | 'measuring' | 'not_measuring' | null
  monitor_message: string | null
}

/** The columns of a Job. */
export const jobColumns =
  'id,account_number,target_ip,cadence_seconds,duration_minutes,status,monitoring_mode,started_at,completed_at,last_ping_at,' +
  'notification_email,requester_id,avg_rtt_ms,packet_loss_percent,total_samples,monitor_state,monitor_message'

/**
 * A row as the page goes on with it. Whoever may write a job may write what cannot be shown, such as the numeric NaN, which comes as a
 * text, and a time of infinity: these are left out, so that one odd row keeps nobody from the others.
 */
export const jobOf = (row: Job): Job => ({
  ...row,
  avg_rtt_ms: numberOf(row.avg_rtt_ms),
  packet_loss_percent: numberOf(row.packet_loss_percent),
  completed_at: timeOf(row.completed_at),
  last_ping_at: timeOf(row.last_ping_at),
})

/** A number that can be shown; null for anything else. */
export const numberOf = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null

const timeOf = (text: string | null): string | null => (text !== null && Number.isFinite(instantOf(text)) ? text : null)

export const gridOf = (job: Job): Grid => ({
  start: instantOf(job.started_at),
  cadence: job.cadence_seconds * 1000,
  duration: job.duration_minutes * 60_000,
})

/**
 * Reads a time of PostgreSQL into milliseconds since 1970, with the microseconds as a fraction, which Date.parse drops.
 * NaN for what is no time.
 */
export function instantOf(text: string): number {
  const fraction = /\.(\d{4,})/.exec(text)?.[1]
  const whole = Date.parse(text)
  if (!fraction) return whole
  return Math.floor(whole) + Number(`0.${fraction.slice(3)}`)
}

/**
 * When a job was over, in milliseconds since 1970; null while it runs. One that was started anew still has the end of the time before, and
 * one that somebody else cancelled may have none: then `newest`, when its newest slot with an outcome was due, is the best that is known.
 */
export function endOfJob(
  job: Pick<Job, 'status' | 'completed_at' | 'started_at'>,
  newest: number | null,
): number | null {
  if (job.status === 'running') return null
  return job.completed_at === null ? (newest ?? instantOf(job.started_at)) : instantOf(job.completed_at)
}

/** What the poller says is wrong with a job, or was with one that failed; null where all is well. While it measures, it says only what is wrong. */
export const troubleOf = (job: Pick<Job, 'monitoring_mode' | 'status' | 'monitor_message'>): string | null =>
  job.monitoring_mode === 'real_polling' && (job.status === 'running' || job.status === 'failed')
    ? job.monitor_message
    : null

/** Whether this browser may make up samples for a job: only for one that says so itself and still runs. */
export const simulatable = (job: Pick<Job, 'monitoring_mode' | 'status'>): boolean =>
  job.monitoring_mode === 'simulated' && job.status === 'running'

/** Packet loss above this, in percent, is shown in red. */
export const highLoss = 2
export const highLossShare = highLoss / 100

/** The start of a job and so many seconds more, with the start's microseconds: the key of a sample is an exact instant. */
export function dueText(startedAt: string, seconds: number): string {
  const fraction = /\.(\d+)/.exec(startedAt)?.[1] ?? ''
  const whole = Date.parse(startedAt.replace(/\.\d+/, '')) + seconds * 1000
  return `${new Date(whole).toISOString().slice(0, 19)}${fraction ? `.${fraction}` : ''}Z`
}
