import type { SupabaseClient } from '@supabase/supabase-js'
import { pause } from '../pause'

/** How often to look without Realtime, and with it in case a message was lost, in milliseconds. */
const shortest = 2000
const longest = 10_000
const withRealtime = 30_000
/** How long after Realtime was found not to work it is tried again, in milliseconds. */
const again = 300_000

/**
 * Tells when to look for news of a job: at once when Supabase Realtime says that something was written, and otherwise every so often.
 * What is new is always read from the database, so that no message that is lost, or comes twice, changes what is shown.
 */
export class Live {
  /** Whether Realtime works. */
  realtime = false
  private wake: () => void = () => {}
  private woken = false
  private closed = false
  private retry: ReturnType<typeof setTimeout> | undefined
  private channel: ReturnType<SupabaseClient['channel']> | undefined

  constructor(
    private readonly db: SupabaseClient,
    private readonly jobID: string,
  ) {
    this.subscribe()
  }

  /** Waits until it is time to look; `cadence` is the job's, in milliseconds. */
  async next(cadence: number, signal: AbortSignal): Promise<void> {
    const every = this.realtime ? withRealtime : Math.min(Math.max(cadence / 2, shortest), longest)
    if (!this.woken && !signal.aborted) {
      const waiting = new AbortController()
      this.wake = () => waiting.abort()
      await pause(every, AbortSignal.any([signal, waiting.signal]))
    }
    this.woken = false
    this.wake = () => {}
  }

  close() {
    this.closed = true
    clearTimeout(this.retry)
    this.unsubscribe()
  }

  private news() {
    this.woken = true
    this.wake()
  }

  private subscribe() {
    const about = (table: string, column: string) => ({
      event: '*' as const,
      schema: 'public',
      table,
      filter: `${column}=eq.${this.jobID}`,
    })
    this.channel = this.db
      .channel(`job-${this.jobID}`)
      .on('postgres_changes', about('samples', 'job_id'), () => this.news())
      .on('postgres_changes', about('jobs', 'id'), () => this.news())
      .on('system', {}, (told: { extension?: string; status?: string }) => {
        if (told.extension === 'postgres_changes') this.follows(told.status === 'ok')
      })
      .subscribe((status) => {
        if (!this.closed && status !== 'SUBSCRIBED') this.giveUp()
      })
  }

  /** What Realtime says once it has looked: one that is joined may still not follow the tables, because nobody published them. */
  private follows(does: boolean) {
    if (this.closed) return
    this.realtime = does
    if (does) this.news() // of the time in which nobody listened
  }

  /** A project without Realtime is not asked without end. */
  private giveUp() {
    this.realtime = false
    this.unsubscribe()
    clearTimeout(this.retry)
    this.retry = setTimeout(() => this.subscribe(), again)
  }

  private unsubscribe() {
    const channel = this.channel
    this.channel = undefined
    if (channel) void this.db.removeChannel(channel)
  }
}
