import { type Pollers, pollerGone } from './data/pollers'
import type { Job } from './job'
import { gridOf } from './job'
import { endOf } from './schedule'
import type { Gap } from './statistics/outcomes'
import { reason } from './statistics/verdict'
import { duration } from './statistics/words'

/** What a poll takes at most, and storing and showing its sample, in milliseconds. */
const onItsWay = 15_000

/**
 * Says why a running real-polling job has had no sample for two cadences, and where to look; null where all is well. Times are in
 * milliseconds since 1970; `newest` is when the newest sample was due, null without any.
 */
export function warningOf(
  job: Job,
  newest: number | null,
  gaps: readonly Gap[],
  pollers: Pollers | null,
  now: number,
): string | null {
  const grid = gridOf(job)
  if (job.monitoring_mode !== 'real_polling' || job.status !== 'running' || now < grid.start) return null
  const since = Math.max(newest ?? grid.start, grid.start)
  if (now - since <= 2 * grid.cadence + onItsWay) return null
  const silent =
    newest === null
      ? `No sample has come since the job began ${duration(now - since)} ago.`
      : `No sample has come for ${duration(now - since)}.`
  return `${silent} ${whereToLook(job, since, gaps, pollers, now)}`
}

function whereToLook(job: Job, since: number, gaps: readonly Gap[], pollers: Pollers | null, now: number): string {
  if (pollers !== null && pollers.lastSeen === null) {
    return 'No poller has ever reported to this database: whoever runs the cluster has to install the operator, or point it here.'
  }
  if (pollers !== null && pollers.lastSeen !== null && now - pollers.lastSeen > pollerGone) {
    return `The poller was last seen ${duration(now - pollers.lastSeen)} ago: it is down, or cannot reach the database. Whoever runs the cluster finds out with kubectl soundcheck doctor.`
  }
  const said = pollers?.messages.join(' ') ?? ''
  if (said !== '') return `The poller says: ${said}`
  if (job.monitor_message !== null && job.monitor_state !== 'measuring')
    return `The poller says about this job: ${job.monitor_message}`
  const gap = gaps.filter((g) => g.to > since).sort((a, b) => b.to - a.to)[0]
  if (gap) return `Nobody measured, because ${reason(gap.reason)}.`
  if (now > endOf(gridOf(job)))
    return 'Its time is over: the poller completes it as soon as its last samples are stored.'
  return `${pollers === null ? 'Whether a poller is alive cannot be read' : 'The poller is alive, so the samples may be on their way'}. If this lasts, whoever runs the cluster finds the cause with kubectl soundcheck doctor.`
}
