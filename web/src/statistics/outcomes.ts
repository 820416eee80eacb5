export type Outcome = 'success' | 'missed' | 'system_error'

/** A sample. Times are in milliseconds since 1970, round-trip times and jitter in milliseconds. */
export interface Sample {
  /** When it was due, or where nobody says, when it was measured. */
  at: number
  status: Outcome
  rtt: number | null
  jitter: number | null
}

/** A stretch of slots without a sample. */
export interface Gap {
  /** When the first and the last of the slots were due. */
  from: number
  to: number
  slots: number
  /** Why, in the words of `sample_gaps`. */
  reason: string
}

/** Puts samples that came later into those that are known, both in the order of time; one that is known is replaced. */
export function merge(known: readonly Sample[], fresh: readonly Sample[]): Sample[] {
  const first = fresh[0]
  if (first === undefined) return known.slice()
  const keep = lowerBound(known, first.at)
  const out = known.slice(0, keep)
  let i = keep
  for (const s of fresh) {
    for (let old = known[i]; old !== undefined && old.at <= s.at; old = known[++i]) {
      if (old.at < s.at) out.push(old)
    }
    out.push(s)
  }
  for (; i < known.length; i++) out.push(known[i] as Sample)
  return out
}

/** The index of the first element that is due at `at` or later. */
export function lowerBound(sorted: readonly { at: number }[], at: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] as { at: number }).at < at) low = middle + 1
    else high = middle
  }
  return low
}
