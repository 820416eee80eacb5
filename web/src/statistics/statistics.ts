import { type Grid, slotAt } from '../schedule'
import type { Gap, Outcome, Sample } from './outcomes'
import { type Outage, outages } from './silence'

/** Sums up values in milliseconds. Percentiles are by nearest rank, PostgreSQL's percentile_disc. */
export interface Spread {
  count: number
  min: number
  avg: number
  max: number
  p50: number
  p90: number
  p95: number
  p99: number
}

/** What became of a job so far, as internal/report has it. */
export interface Statistics {
  success: number
  missed: number
  systemError: number
  /** Slots without a sample, by reason; the one of most slots first. */
  reasons: { name: string; slots: number }[]
  unmeasured: number
  rtt: Spread | null
  jitter: Spread | null
  /** Whether the job is over. */
  over: boolean
  /** The longest of the runs that `outages` counts, or where there are none, of fewer missed samples. */
  outage: Outage | null
  /** Runs of at least `outageAfter` missed samples. */
  outages: number
  /** Slots that were due and have neither a sample nor a reason yet. */
  open: number
}

/** How many samples missed in a row make an outage: one or two are loss. */
export const outageAfter = 3

/** How long after it came due a slot may be without an outcome, in milliseconds. */
const settling = 30_000

export const samplesOf = (s: Statistics): number => s.success + s.missed + s.systemError
export const slotsOf = (s: Statistics): number => samplesOf(s) + s.unmeasured

/** A share between 0 and 1; null of nothing. */
export const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole)
/** The share of missed samples among those that say something about the device. */
export const lossOf = (s: Statistics): number | null => share(s.missed, s.success + s.missed)
/** The share of samples that could not be measured. */
export const errorsOf = (s: Statistics): number | null => share(s.systemError, samplesOf(s))
/** The share of the slots that were due that have a sample. */
export const completenessOf = (s: Statistics): number | null => share(samplesOf(s), slotsOf(s) + s.open)

/** Sums up a job. Samples are in the order of time; `endedAt` is null while it runs. Times are in milliseconds since 1970. */
export function statistics(
  grid: Grid,
  endedAt: number | null,
  samples: readonly Sample[],
  gaps: readonly Gap[],
  now: number,
): Statistics {
  const counts: Record<Outcome, number> = { success: 0, missed: 0, system_error: 0 }
  const rtt: number[] = []
  const jitter: number[] = []
  for (const s of samples) {
    counts[s.status]++
    if (s.status !== 'success') continue
    if (s.rtt !== null) rtt.push(s.rtt)
    if (s.jitter !== null) jitter.push(s.jitter)
  }
  const reasons = reasonsOf(gaps)
  const runs = outages({ startedAt: grid.start, cadence: grid.cadence }, samples, gaps)
  const unmeasured = reasons.reduce((sum, r) => sum + r.slots, 0)
  const due = slotAt(grid, Math.min(now - settling, endedAt ?? Number.POSITIVE_INFINITY)) + 1
  return {
    success: counts.success,
    missed: counts.missed,
    systemError: counts.system_error,
    reasons,
    unmeasured,
    rtt: spreadOf(rtt),
    jitter: spreadOf(jitter),
    outage: runs.reduce<Outage | null>((worst, run) => (worst && !worse(run, worst) ? worst : run), null),
    over: endedAt !== null,
    outages: runs.filter((run) => run.missed >= outageAfter).length,
    open: Math.max(0, due - samples.length - unmeasured),
  }
}

/** Whether a run is more of an outage than another: one or two misses around failed polls may last longer than many. */
function worse(run: Outage, than: Outage): boolean {
  const enough = run.missed >= outageAfter
  return enough === than.missed >= outageAfter ? run.lasted > than.lasted : enough
}

function reasonsOf(gaps: readonly Gap[]): { name: string; slots: number }[] {
  const slots = new Map<string, number>()
  for (const gap of gaps) slots.set(gap.reason, (slots.get(gap.reason) ?? 0) + gap.slots)
  return [...slots]
    .map(([name, n]) => ({ name, slots: n }))
    .sort((a, b) => b.slots - a.slots || (a.name < b.name ? -1 : 1))
}

export function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null
  const sorted = Float64Array.from(values).sort()
  const rank = (p: number) => sorted[Math.max(1, Math.ceil((sorted.length * p) / 100)) - 1] as number
  return {
    count: sorted.length,
    min: sorted[0] as number,
    avg: sorted.reduce((sum, v) => sum + v, 0) / sorted.length,
    max: sorted.at(-1) as number,
    p50: rank(50),
    p90: rank(90),
    p95: rank(95),
    p99: rank(99),
  }
}
