import type { SupabaseClient } from '@supabase/supabase-js'
import { serverNow } from '../clock'
import { failureOf } from '../errors'
import { dueText, gridOf, instantOf, type Job, jobColumns, simulatable } from '../job'
import { pause } from '../pause'
import { endOf, slotAt, slotsOf } from '../schedule'
import { type Simulated, sampleOf } from './simulator'

/** How often the database is asked for jobs to simulate, and how often what is due is written, in milliseconds. */
const lookEvery = 5000
const writeEvery = 1000
/** How often a running job's figures are brought up to date, in milliseconds. */
const figuresEvery = 10_000
/** How many samples a request brings. */
const batch = 500
/** After how many samples that are made up again the page gets to do something else. */
const breath = 5000
const lockName = 'soundcheck-simulator'

/** A simulated job that runs. */
interface Run {
  job: Job
  /** The slot that is made up next, and what was made up before it. */
  next: number
  answered: number
  missed: number
  failed: number
  sum: number
  figuresAt: number
}

/**
 * Runs the simulated jobs of whoever uses the page, until `signal` ends it. One page of a browser does it at a time; pages of other
 * browsers write the same samples, of which the database keeps one. `owner` is null where nobody signs in: then it runs all.
 */
export async function simulate(db: SupabaseClient, owner: string | null, signal: AbortSignal): Promise<void> {
  const work = () => new Runner(db, owner, signal).run()
  if (!('locks' in navigator)) return work() // a page that did not come by https
  try {
    await navigator.locks.request(lockName, { signal }, work)
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

class Runner {
  private readonly runs = new Map<string, Run>()

  constructor(
    private readonly db: SupabaseClient,
    private readonly owner: string | null,
    private readonly signal: AbortSignal,
  ) {}

  async run(): Promise<void> {
    let looked = Number.NEGATIVE_INFINITY
    while (!this.signal.aborted) {
      const now = serverNow()
      try {
        if (now - looked >= lookEvery) {
          await this.look()
          looked = now
        }
      } catch {
        // The next turn looks again.
      }
      for (const run of this.runs.values()) {
        // Samples of a simulation can be made up later as well: the next turn does, and other jobs go on.
        await this.advance(run, serverNow()).catch(() => {})
      }
      await pause(writeEvery, this.signal)
    }
  }

  /** Finds the jobs that are to be simulated now. */
  private async look(): Promise<void> {
    let ask = this.db.from('jobs').select(jobColumns).eq('monitoring_mode', 'simulated').eq('status', 'running')
    if (this.owner !== null) ask = ask.eq('requester_id', this.owner)
    const { data, error, status } = await ask
      .order('id')
      .limit(200)
      .abortSignal(this.signal)
      .overrideTypes<Job[], { merge: false }>()
    if (error) throw failureOf(error, status)
    const running = new Map(data.filter(simulatable).map((job) => [job.id, job]))
    for (const id of this.runs.keys()) if (!running.has(id)) this.runs.delete(id)
    for (const job of running.values()) {
      const known = this.runs.get(job.id)
      if (known?.job.started_at === job.started_at && known.job.cadence_seconds === job.cadence_seconds) known.job = job
      else this.runs.set(job.id, await this.begin(job))
    }
  }

  /** Goes on where the samples in the database end. What came before is not asked for: it can be made up again. */
  private async begin(job: Job): Promise<Run> {
    const { data, error, status } = await this.db
      .from('samples')
      .select('scheduled_at')
      .eq('job_id', job.id)
      .not('scheduled_at', 'is', null)
      .order('scheduled_at', { ascending: false })
      .limit(1)
      .abortSignal(this.signal)
      .overrideTypes<{ scheduled_at: string }[], { merge: false }>()
    if (error) throw failureOf(error, status)
    const run: Run = { job, next: 0, answered: 0, missed: 0, failed: 0, sum: 0, figuresAt: 0 }
    const newest = data[0]
    const stored = newest ? slotAt(gridOf(job), instantOf(newest.scheduled_at) + 1) : -1
    while (run.next <= stored && !this.signal.aborted) {
      count(run, sampleOf(job.id, gridOf(job), run.next))
      if (run.next % breath === 0) await pause(0, this.signal)
    }
    return run
  }

  /** Writes what is due of a job, its figures, and its end. */
  private async advance(run: Run, now: number): Promise<void> {
    const grid = gridOf(run.job)
    const due = slotAt(grid, now)
    // So many and no more in a turn: others have theirs, and a job that was cancelled is noticed.
    for (let batches = 0; run.next <= due && batches < 4 && !this.signal.aborted; batches++) {
      const samples: Simulated[] = []
      for (let k = run.next; k <= due && samples.length < batch; k++) samples.push(sampleOf(run.job.id, grid, k))
      await this.write(run.job, samples)
      for (const s of samples) count(run, s)
    }
    const over = run.next >= slotsOf(grid) && now >= endOf(grid)
    if (over || now - run.figuresAt >= figuresEvery) {
      await this.summarize(run, over ? now : null)
      run.figuresAt = now
      if (over) this.runs.delete(run.job.id)
    }
  }

  private async write(job: Job, samples: Simulated[]): Promise<void> {
    const rows = samples.map((s) => ({
      job_id: job.id,
      sequence_number: s.slot,
      scheduled_at: dueText(job.started_at, s.slot * job.cadence_seconds),
      recorded_at: new Date(s.at).toISOString(),
      status: s.status,
      rtt_ms: s.rtt,
      jitter_ms: s.jitter,
    }))
    const { error, status } = await this.db
      .from('samples')
      .upsert(rows, { onConflict: 'job_id,scheduled_at', ignoreDuplicates: true })
      .abortSignal(this.signal)
    if (error) throw failureOf(error, status)
  }

  /** Brings the figures of the job list up to date and, at its end, completes the job; only if it still runs. */
  private async summarize(run: Run, endedAt: number | null): Promise<void> {
    const judged = run.answered + run.missed
    const figures = {
      avg_rtt_ms: run.answered === 0 ? null : Math.round((1000 * run.sum) / run.answered) / 1000,
      packet_loss_percent: judged === 0 ? null : Math.round((10_000 * run.missed) / judged) / 100,
      total_samples: judged + run.failed,
      last_ping_at: run.next === 0 ? null : dueText(run.job.started_at, (run.next - 1) * run.job.cadence_seconds),
      ...(endedAt === null ? {} : { status: 'completed', completed_at: new Date(endedAt).toISOString() }),
    }
    const { error, status } = await this.db
      .from('jobs')
      .update(figures)
      .eq('id', run.job.id)
      .eq('status', 'running')
      .eq('monitoring_mode', 'simulated')
      .abortSignal(this.signal)
    if (error) throw failureOf(error, status)
  }
}

function count(run: Run, s: Simulated) {
  run.next = s.slot + 1
  if (s.status === 'success') {
    run.answered++
    run.sum += s.rtt ?? 0
  } else if (s.status === 'missed') run.missed++
  else run.failed++
}
