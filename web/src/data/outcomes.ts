import type { SupabaseClient } from '@supabase/supabase-js'
import { serverNow } from '../clock'
import { Failure, failureOf } from '../errors'
import { dueText, gridOf, instantOf, type Job, numberOf } from '../job'
import { pause } from '../pause'
import { dueOf, type Grid, slotAt } from '../schedule'
import { type Gap, lowerBound, merge, type Outcome, type Sample } from '../statistics/outcomes'

/** What became of a job's slots so far. */
export interface Outcomes {
  samples: Sample[]
  gaps: Gap[]
  /** Samples that do not say when they were due, which other writers leave out; they are among `samples` too. */
  undated: number
  /** The slot from which on samples are looked for next that come very late. */
  turn: number
}

type Known = Pick<Outcomes, 'samples' | 'gaps'>

/** When the newest slot with an outcome was due; null without any. */
export function newestOf({ samples, gaps }: Known): number | null {
  const newest = gaps.reduce((at, gap) => Math.max(at, gap.to), samples.at(-1)?.at ?? Number.NEGATIVE_INFINITY)
  return newest === Number.NEGATIVE_INFINITY ? null : newest
}

/** Where a Supabase project cuts an answer off. */
const pageSize = 1000
/** How many requests are under way at once: hosted projects serve some ten at a time to everybody. */
const atOnce = 4
/** How many slots before the newest sample are looked at again, for samples that come late. */
const lookBack = 500

export interface Row {
  scheduled_at: string | null
  recorded_at: string | null
  status: string
  rtt_ms: number | null
  jitter_ms: number | null
}

/** The most rows that an answer of this project had. */
let longest = 0

/**
 * Whether an answer of so many rows is the last. A project cuts answers off where its owner says, at 1,000 rows or sooner, and does not
 * tell: one that is shorter than another was not cut off, and otherwise only an empty one is the last for sure.
 */
export function isLast(rows: number): boolean {
  const last = rows < longest || rows === 0
  longest = Math.max(longest, rows)
  return last
}

/** Reads all there is of a job. `progress` hears which share is there, from 0 to 1. */
export async function loadAll(
  db: SupabaseClient,
  job: Job,
  signal: AbortSignal,
  progress: (share: number) => void,
): Promise<Outcomes> {
  const [samples, undated, gaps] = await Promise.all([
    loadDated(db, job, signal, progress),
    loadUndated(db, job, null, signal),
    loadGaps(db, job.id, signal),
  ])
  return { samples: undated.length === 0 ? samples : merge(undated, samples), gaps, undated: undated.length, turn: 0 }
}

/** Reads what came since, given all that was there before. */
export async function loadNew(db: SupabaseClient, job: Job, known: Outcomes, signal: AbortSignal): Promise<Outcomes> {
  const grid = gridOf(job)
  const from = firstOpen(grid, known)
  const [fresh, undated, gaps] = await Promise.all([
    pages(db, job.id, from === Number.NEGATIVE_INFINITY ? {} : { from }, signal),
    known.undated > 0 || known.samples.length === 0
      ? loadUndated(db, job, known.samples.at(-1)?.at ?? null, signal)
      : [],
    loadGaps(db, job.id, signal),
  ])
  const samples = merge(known.samples, merge(undated, fresh))
  const late = await loadLate(db, job, { samples, gaps }, known.turn, signal)
  return { ...late, gaps, undated: known.undated + undated.length }
}

/**
 * Reads samples that came later than `loadNew` looks back, as they do from a replica of the operator that was cut off: one stretch with open
 * slots at each look, all of them in turn, and the next one at once as long as there are samples in them.
 */
async function loadLate(
  db: SupabaseClient,
  job: Job,
  { samples, gaps }: Known,
  turn: number,
  signal: AbortSignal,
): Promise<{ samples: Sample[]; turn: number }> {
  const grid = gridOf(job)
  for (;;) {
    const stretch =
      openBefore(grid, { samples, gaps }, turn) ?? (turn > 0 ? openBefore(grid, { samples, gaps }, 0) : null)
    if (!stretch) return { samples, turn: 0 }
    const until = dueText(job.started_at, stretch.last * job.cadence_seconds)
    const late = await pages(db, job.id, { from: dueOf(grid, stretch.first), until }, signal)
    const before = samples.length
    samples = merge(samples, late)
    turn = stretch.last + 1
    if (samples.length === before) return { samples, turn }
  }
}

/**
 * When the first slot was due that has no outcome yet, in milliseconds since 1970: what is new was due then or later, also samples that
 * come late. At most `lookBack` slots before the newest sample.
 */
export function firstOpen(grid: Grid, known: Known): number {
  const newest = known.samples.at(-1)
  if (!newest) return Number.NEGATIVE_INFINITY
  const last = slotAt(grid, newest.at)
  const open = openSlots(grid, known, Math.max(0, last - lookBack), last + 1).next()
  return open.done ? newest.at : dueOf(grid, open.value)
}

/**
 * The first and the last open slot of a stretch that a request can read: from slot `from` on, and before those that `firstOpen` looks at.
 * Null where there is none.
 */
export function openBefore(grid: Grid, known: Known, from: number): { first: number; last: number } | null {
  const newest = known.samples.at(-1)
  const end = newest ? slotAt(grid, newest.at) - lookBack : 0
  let first: number | undefined
  let last = 0
  for (const k of openSlots(grid, known, from, end)) {
    first ??= k
    if (k >= first + pageSize) break
    last = k
  }
  return first === undefined ? null : { first, last }
}

/** The numbers of the slots from one to before another that have neither a sample nor a gap. */
function* openSlots(grid: Grid, { samples, gaps }: Known, from: number, before: number): Generator<number, void> {
  const sorted = gaps.toSorted((a, b) => a.from - b.from)
  let next = 0
  for (let k = from, i = lowerBound(samples, dueOf(grid, from) - 1); k < before; k++) {
    const due = dueOf(grid, k)
    for (let s = samples[i]; s !== undefined && s.at < due - 1; s = samples[i]) i++
    if (Math.abs((samples[i]?.at ?? 0) - due) <= 1) continue
    while ((sorted[next]?.to ?? Number.POSITIVE_INFINITY) < due - 1) next++
    if ((sorted[next]?.from ?? Number.POSITIVE_INFINITY) <= due + 1) continue
    yield k
  }
}

/** Reads the samples that say when they were due, several stretches of a thousand slots at once. */
async function loadDated(
  db: SupabaseClient,
  job: Job,
  signal: AbortSignal,
  progress: (share: number) => void,
): Promise<Sample[]> {
  const stretches = Math.max(1, Math.ceil((slotAt(gridOf(job), serverNow()) + 1) / pageSize))
  const lastOf = (stretch: number) => dueText(job.started_at, ((stretch + 1) * pageSize - 1) * job.cadence_seconds)
  const parts: Sample[][] = new Array(stretches)
  let next = 0
  let done = 0
  const work = async () => {
    for (let i = next++; i < stretches; i = next++) {
      // The first and the last have no bounds: a job that was started anew keeps its old samples.
      const part = { after: i === 0 ? null : lastOf(i - 1), until: i === stretches - 1 ? null : lastOf(i) }
      parts[i] = await patiently(() => pages(db, job.id, part, signal), signal)
      progress(++done / stretches)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, stretches) }, work))
  return parts.flat()
}

/** Tries again what failed and may pass: of hundreds of requests one may fail, for which the others are not thrown away. */
async function patiently<T>(read: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await read()
    } catch (error) {
      if (signal.aborted || tries === 3 || !(error instanceof Failure && error.passing)) throw error
      await pause(tries * 500, signal)
    }
  }
}

/** Which samples to read: those due at `from` or later, in milliseconds since 1970, or after an instant, and until another one. */
interface Part {
  from?: number
  after?: string | null
  until?: string | null
}

/** Reads a part of the samples that say when they were due, page after page. */
async function pages(
  db: SupabaseClient,
  id: string,
  { from, after = null, until = null }: Part,
  signal: AbortSignal,
): Promise<Sample[]> {
  const out: Sample[] = []
  const last = until === null ? Number.POSITIVE_INFINITY : instantOf(until)
  for (;;) {
    let ask = db.from('samples').select('scheduled_at,recorded_at,status,rtt_ms,jitter_ms').eq('job_id', id)
    if (after !== null) ask = ask.gt('scheduled_at', after)
    else if (from !== undefined) ask = ask.gte('scheduled_at', micro(from))
    else ask = ask.not('scheduled_at', 'is', null)
    if (until !== null) ask = ask.lte('scheduled_at', until)
    const { data, error, status } = await ask
      .order('scheduled_at')
      .limit(pageSize)
      .abortSignal(signal)
      .overrideTypes<Row[], { merge: false }>()
    if (error) throw failureOf(error, status)
    out.push(...samplesOf(data))
    after = data.at(-1)?.scheduled_at ?? null
    // A stretch with a sample of each slot fills a page, and the last of them tells that nothing is left to ask for.
    if (isLast(data.length) || instantOf(after ?? '') >= last) return out
  }
}

/** Reads the samples that do not say when they were due: those that were measured since a time, a minute earlier, because they may come late. */
async function loadUndated(db: SupabaseClient, job: Job, since: number | null, signal: AbortSignal): Promise<Sample[]> {
  const out: Sample[] = []
  for (let read = 0; ; ) {
    let ask = db
      .from('samples')
      .select('scheduled_at,recorded_at,status,rtt_ms,jitter_ms')
      .eq('job_id', job.id)
      .is('scheduled_at', null)
    if (since !== null) ask = ask.gte('recorded_at', micro(since - 60_000))
    const { data, error, status } = await ask
      .order('recorded_at')
      .order('id')
      .range(read, read + pageSize - 1) // few, and nobody adds any to a job that is over
      .abortSignal(signal)
      .overrideTypes<Row[], { merge: false }>()
    if (error) throw failureOf(error, status)
    read += data.length
    out.push(...samplesOf(data))
    if (isLast(data.length)) return out.sort((a, b) => a.at - b.at)
  }
}

/**
 * Reads all gaps, also to look for news: no row says when it was written, and what is new need not be at the end. A gap takes the place of
 * another that begins where it does, be it longer or shorter, and a replica that comes back writes those that it still held of slots about
 * which another replica has decided since.
 */
async function loadGaps(db: SupabaseClient, id: string, signal: AbortSignal): Promise<Gap[]> {
  const out: Gap[] = []
  for (let after: string | null = null; ; ) {
    let ask = db.from('sample_gaps').select('from_at,to_at,slots,reason').eq('job_id', id)
    if (after !== null) ask = ask.gt('from_at', after)
    const { data, error, status } = await ask
      .order('from_at')
      .limit(pageSize)
      .abortSignal(signal)
      .overrideTypes<{ from_at: string; to_at: string; slots: number; reason: string }[], { merge: false }>()
    if (error) {
      if (error.code === 'PGRST205' || error.code === '42P01') return out // a database without the operator's tables
      throw failureOf(error, status)
    }
    for (const row of data)
      out.push({ from: instantOf(row.from_at), to: instantOf(row.to_at), slots: row.slots, reason: row.reason })
    after = data.at(-1)?.from_at ?? null
    if (isLast(data.length)) return out
  }
}

const known = new Set(['success', 'missed', 'system_error'])

/** What rows say; those of no time, such as infinity, are left out. */
export function samplesOf(rows: readonly Row[]): Sample[] {
  return rows
    .map((row) => ({
      at: instantOf(row.scheduled_at ?? row.recorded_at ?? ''),
      status: (known.has(row.status) ? row.status : 'system_error') as Outcome,
      rtt: numberOf(row.rtt_ms),
      jitter: numberOf(row.jitter_ms),
    }))
    .filter((s) => Number.isFinite(s.at))
}

/** Writes an instant for the database: a millisecond earlier is as good, because what is read twice is merged. */
const micro = (at: number): string => new Date(Math.floor(at)).toISOString()
