import type { SupabaseClient } from '@supabase/supabase-js'
import { Failure, failureOf } from '../errors'
import { type Job, type JobStatus, jobColumns, jobOf, type Mode } from '../job'
import { type NewJob, rowOf } from '../newjob'

export const sortable = [
  'started_at',
  'account_number',
  'target_ip',
  'status',
  'avg_rtt_ms',
  'packet_loss_percent',
  'total_samples',
] as const
export type SortColumn = (typeof sortable)[number]

/** Which jobs a list shows. */
export interface Query {
  search: string
  status: JobStatus | null
  mode: Mode | null
  sort: SortColumn
  descending: boolean
  /** From 0. */
  page: number
}

export const pageSize = 25

/** A page of the jobs that a query is for, which page it is, and how many jobs there are in all. */
export async function listJobs(
  db: SupabaseClient,
  q: Query,
  signal: AbortSignal,
): Promise<{ jobs: Job[]; page: number; count: number }> {
  let ask = db.from('jobs').select(jobColumns, { count: 'exact' })
  if (q.status) ask = ask.eq('status', q.status)
  if (q.mode) ask = ask.eq('monitoring_mode', q.mode)
  const search = searchFilter(q.search)
  if (search) ask = ask.or(search)
  const { data, count, error, status } = await ask
    .order(q.sort, { ascending: !q.descending, nullsFirst: false })
    .order('id')
    .range(q.page * pageSize, (q.page + 1) * pageSize - 1)
    .abortSignal(signal)
    .overrideTypes<Job[], { merge: false }>()
  if (error) {
    // Jobs went away since the page was chosen: what is left has fewer pages.
    if (error.code === 'PGRST103' && q.page > 0) return listJobs(db, { ...q, page: 0 }, signal)
    throw failureOf(error, status)
  }
  return { jobs: data.map(jobOf), page: q.page, count: count ?? data.length }
}

/** The filter for a search in account numbers and addresses, or for a job's id; null for nothing. */
export function searchFilter(text: string): string | null {
  const wanted = text.trim()
  if (wanted === '') return null
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(wanted)) return `id.eq.${wanted.toLowerCase()}`
  // Once for LIKE, to which % and _ mean more, and once for PostgREST's quotes. Its * would be a %, and nothing keeps it from that.
  const like = wanted.replaceAll('*', '').replace(/[\\%_]/g, '\\$&')
  const quoted = `"%${like.replace(/["\\]/g, '\\$&')}%"`
  return `account_number.ilike.${quoted},target_ip.ilike.${quoted}`
}

/** A job; null if there is none, or whoever asks may not see it. */
export async function getJob(db: SupabaseClient, id: string, signal?: AbortSignal): Promise<Job | null> {
  let ask = db.from('jobs').select(jobColumns).eq('id', id)
  if (signal) ask = ask.abortSignal(signal)
  const { data, error, status } = await ask.overrideTypes<Job[], { merge: false }>()
  if (error) {
    if (error.code === '22P02') return null // no UUID
    throw failureOf(error, status)
  }
  const row = data[0]
  return row ? jobOf(row) : null
}

/** A try to start the job was stored after all, though no answer came, and something else was entered since. */
export const earlierTry = 'earlier-try'

/** Starts a job. The id is the caller's, so that asking again after an answer was lost starts none twice. */
export async function createJob(db: SupabaseClient, job: NewJob, id: string, requester: string | null): Promise<void> {
  const row = rowOf(job, id, requester)
  const { error, status } = await db.from('jobs').insert(row)
  if (!error) return
  const stored = error.code === '23505' ? await getJob(db, id) : null
  if (!stored) throw failureOf(error, status)
  if (!same(row, stored)) {
    throw new Failure(
      'The try before was stored after all, with what you had entered then: you find it among the jobs. Start again to have this one too.',
      false,
      earlierTry,
    )
  }
}

const same = (row: ReturnType<typeof rowOf>, stored: Job): boolean =>
  Object.entries(row).every(([name, value]) => stored[name as keyof Job] === value)

/** Cancels a job that runs. `now` is when, in milliseconds since 1970. */
export async function cancelJob(db: SupabaseClient, id: string, now: number): Promise<void> {
  const { data, error, status } = await db
    .from('jobs')
    .update({ status: 'cancelled', completed_at: new Date(now).toISOString() })
    .eq('id', id)
    .eq('status', 'running')
    .select('id')
  if (error) throw failureOf(error, status)
  if (data.length > 0) return
  const job = await getJob(db, id)
  if (job?.status === 'running') {
    throw new Failure('You may not cancel this job: only whoever started it may, and a supervisor.', false, '42501')
  }
  if (!job) throw new Failure('This job is gone, or hidden from you.', false)
  if (job.status !== 'cancelled') throw new Failure(`This job was over already: it is ${job.status}.`, false)
}
