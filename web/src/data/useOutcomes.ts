import { useEffect, useRef, useState } from 'react'
import { serverNow } from '../clock'
import { useAccess } from '../database'
import { instantOf, type Job } from '../job'
import { pause } from '../pause'
import { Live } from './live'
import { loadAll, loadNew, type Outcomes } from './outcomes'

/** What is known of a job's slots, and how it came. */
export interface Watched {
  /** Null until all was read once. */
  outcomes: Outcomes | null
  /** Which share of the first reading is done, from 0 to 1. */
  share: number
  /** When it was last brought up to date, in milliseconds since 1970. */
  asOf: number
  /** Why it could not be, the last time. */
  error: unknown
  /** Whether news come by Realtime. */
  realtime: boolean
}

const unread: Watched = { outcomes: null, share: 0, asOf: 0, error: null, realtime: false }

/** For how long after a job has ended its last samples may still come, and how often they are looked for, in milliseconds. */
const closing = 120_000
const again = 10_000

/** Reads a job's samples and gaps, and goes on while the job runs. `refresh` is called when there may be news of its row, too. */
export function useOutcomes(job: Job, refresh: () => void): Watched {
  const { db } = useAccess()
  const [watched, setWatched] = useState<Watched>(unread)
  const latest = useRef({ job, refresh })
  latest.current = { job, refresh }
  const running = job.status === 'running'

  // A job that is started anew, or whose schedule changed, is read anew; one that has ended, too: then all of it is there.
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above; the rest of the row changes all the time
  useEffect(() => {
    const ending = new AbortController()
    const { signal } = ending
    const live = running ? new Live(db, job.id) : null
    const update = (change: Partial<Watched>) => {
      if (!signal.aborted) setWatched((old) => ({ ...old, ...change, realtime: live?.realtime ?? false }))
    }
    const { completed_at } = latest.current.job
    const over = completed_at === null ? 0 : instantOf(completed_at)
    const work = async () => {
      let known: Outcomes | null = null
      while (!signal.aborted) {
        try {
          const now = serverNow()
          known =
            known === null
              ? await loadAll(db, latest.current.job, signal, (share) => update({ share }))
              : await loadNew(db, latest.current.job, known, signal)
          update({ outcomes: known, error: null, asOf: now })
          if (live === null && serverNow() - over > closing) return
          if (live === null) known = null
        } catch (error) {
          update({ error })
        }
        await (live ? live.next(latest.current.job.cadence_seconds * 1000, signal) : pause(again, signal))
        if (!signal.aborted) latest.current.refresh()
      }
    }
    void work()
    return () => {
      ending.abort()
      live?.close()
    }
  }, [db, job.id, job.started_at, job.cadence_seconds, job.duration_minutes, running])

  return watched
}
