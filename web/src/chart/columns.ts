import { lowerBound, type Sample } from '../statistics/outcomes'

/** What of a job is drawn between two instants: no more points than there are pixels to tell apart. */
export interface Columns {
  /** The line of round-trip times: milliseconds since 1970, and the value; null where it is interrupted. */
  x: number[]
  y: (number | null)[]
  /** When samples were missed and when measuring failed, one for each column that has any. */
  missed: number[]
  failed: number[]
  /** The highest value of the line; 0 without any. */
  highest: number
}

/**
 * Chooses what to draw of the samples due between `from` and `to`, for so many columns of pixels. Of each column it takes the first, the
 * lowest, the highest and the last value: the line looks as if all were drawn, and no spike is lost (the method is known as M4). The line
 * is interrupted where an outcome other than an answer, a gap or an unexplained hole lies between two values.
 */
export function columnsOf(
  samples: readonly Sample[],
  gaps: readonly { from: number; to: number }[],
  cadence: number,
  from: number,
  to: number,
  width: number,
): Columns {
  const out: Columns = { x: [], y: [], missed: [], failed: [], highest: 0 }
  const begin = Math.max(0, lowerBound(samples, from) - 1) // the line goes on beyond the edges
  const end = Math.min(samples.length, lowerBound(samples, to) + 1)
  const step = (to - from) / Math.max(1, width)
  const breaks = new Breaks(gaps, Math.max(cadence * 1.5, step))
  let column: Column | null = null
  let previous: Sample | null = null
  let interrupted = false
  for (let i = begin; i < end; i++) {
    const s = samples[i] as Sample
    const at = Math.floor((s.at - from) / step)
    if (s.status !== 'success' || s.rtt === null) {
      mark(s.status === 'missed' ? out.missed : out.failed, from + at * step, s.at)
      interrupted = true
      continue
    }
    const broken = previous !== null && (interrupted || breaks.between(previous.at, s.at))
    if (column === null || column.at !== at) {
      if (column) emit(column, out)
      if (broken && out.x.length > 0) interrupt(out, s.at)
      column = { at, first: s, last: s, low: s, high: s }
    } else {
      column.last = s
      if ((s.rtt as number) < (column.low.rtt as number)) column.low = s
      if ((s.rtt as number) > (column.high.rtt as number)) column.high = s
    }
    out.highest = Math.max(out.highest, s.rtt)
    previous = s
    interrupted = false
  }
  if (column) emit(column, out)
  return out
}

interface Column {
  at: number
  first: Sample
  last: Sample
  low: Sample
  high: Sample
}

/** Adds the values of a column that tell it, in the order of time. */
function emit(c: Column, out: Columns) {
  const chosen = [...new Set([c.first, c.low, c.high, c.last])].sort((a, b) => a.at - b.at)
  for (const s of chosen) {
    out.x.push(s.at)
    out.y.push(s.rtt)
  }
}

/** Ends the line just before the value that comes next. */
function interrupt(out: Columns, next: number) {
  const last = out.x.at(-1) as number
  out.x.push(last + (next - last) / 2)
  out.y.push(null)
}

function mark(marks: number[], columnStart: number, at: number) {
  const last = marks.at(-1)
  if (last === undefined || last < columnStart) marks.push(at)
}

/** Tells whether nobody measured between two samples. */
class Breaks {
  private next = 0
  private readonly gaps: { from: number; to: number }[]

  constructor(
    gaps: readonly { from: number; to: number }[],
    /** The longest time between two samples, in milliseconds, over which the line goes on. */
    private readonly longest: number,
  ) {
    this.gaps = gaps.toSorted((a, b) => a.from - b.from)
  }

  /** It is asked in the order of time. */
  between(from: number, to: number): boolean {
    for (let gap = this.gaps[this.next]; gap !== undefined && gap.to <= from; gap = this.gaps[this.next]) this.next++
    const gap = this.gaps[this.next]
    return (gap !== undefined && gap.from < to) || to - from > this.longest
  }
}
