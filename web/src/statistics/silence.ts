import type { Gap, Sample } from './outcomes'

/** What of a job an outage needs. Times are in milliseconds. */
export interface Measured {
  startedAt: number
  cadence: number
}

/** A run of missed samples between which no answer came and no slot was left unmeasured. */
export interface Outage {
  /** When the first and the last of them were due. */
  from: number
  to: number
  missed: number
  /** How long they stand for: until the slot after the last was due. */
  lasted: number
}

/**
 * The runs of missed samples, in the order of the samples. It is the rule of internal/report, and cases.json holds both to the same
 * results: what nobody saw, because a gap or an unexplained hole lies in it, is not called an outage; a failed poll neither ends a
 * run nor makes it longer.
 */
export function outages(job: Measured, samples: readonly Sample[], gaps: readonly Gap[]): Outage[] {
  const silence = new Silence(job, samples, joined(gaps))
  return silence.runs()
}

type Span = { from: number; to: number }

/** The gaps in the order of time, those that overlap made one. */
function joined(gaps: readonly Gap[]): Span[] {
  const out: Span[] = []
  for (const gap of gaps.toSorted((a, b) => a.from - b.from)) {
    const last = out.at(-1)
    if (last && gap.from <= last.to) last.to = Math.max(last.to, gap.to)
    else out.push({ from: gap.from, to: gap.to })
  }
  return out
}

class Silence {
  constructor(
    private readonly job: Measured,
    private readonly samples: readonly Sample[],
    private readonly gaps: readonly Span[],
  ) {}

  runs(): Outage[] {
    const out: Outage[] = []
    let run: Outage | null = null
    let newest = 0
    const end = () => {
      if (run) {
        run.to = this.at(newest)
        run.lasted = run.to - run.from + this.stood(newest, run.missed > 1)
        out.push(run)
      }
      run = null
    }
    this.samples.forEach((s, i) => {
      if (run && (s.status === 'success' || this.broken(i - 1))) end()
      if (s.status !== 'missed') return
      run ??= { from: s.at, to: s.at, missed: 0, lasted: 0 }
      run.missed++
      newest = i
    })
    end()
    return out
  }

  private at(i: number): number {
    return (this.samples[i] as Sample).at
  }

  /** Whether something between sample i and the next may have been answered. */
  private broken(i: number): boolean {
    const from = this.at(i)
    const to = this.at(i + 1)
    if (to < from) return true
    const gap = this.after(from)
    if (gap && gap.from < to) return true
    // Every slot that was due has a sample or lies in a gap, so that distance alone says nothing: the cadence may have been another. It
    // counts only where nobody knows of gaps, and before the job began, because one that is started anew keeps its old samples.
    if (this.gaps.length > 0 && from >= this.job.startedAt) return false
    return to - from > 1.5 * Math.max(this.job.cadence, this.step(i - 1), this.step(i + 1))
  }

  /** The time between sample i and the next; 0 where there are not both, and behind an answer outside of a run. */
  private step(i: number): number {
    const here = this.samples[i]
    const next = this.samples[i + 1]
    if (!here || !next || (here.status === 'success' && next.status !== 'missed')) return 0
    return next.at - here.at
  }

  /** How long missed sample i stands for, the last of its run. */
  private stood(i: number, inRun: boolean): number {
    const at = this.at(i)
    const last = i + 1 === this.samples.length
    if (!last && !this.broken(i)) return this.at(i + 1) - at
    const gap = this.after(at)
    if (gap && gap.from > at && (last || gap.from < this.at(i + 1))) return gap.from - at
    if (!last && inRun) return Math.max(this.step(i - 1), 0)
    return this.job.cadence
  }

  /** The first gap that has a slot after an instant. */
  private after(at: number): Span | undefined {
    let low = 0
    let high = this.gaps.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.gaps[middle] as Span).to <= at) low = middle + 1
      else high = middle
    }
    return this.gaps[low]
  }
}
