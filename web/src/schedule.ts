/** The arithmetic of slots, as in internal/schedule: slot k of a job is due at start + k × cadence, before start + duration. */

/** A job's schedule; times are in milliseconds (since 1970 for `start`), with fractions down to a microsecond. */
export interface Grid {
  start: number
  cadence: number
  duration: number
}

/** The first instant at which the job is over. */
export const endOf = (g: Grid): number => g.start + g.duration

/** How many slots the grid has. */
export const slotsOf = (g: Grid): number => (g.cadence > 0 && g.duration > 0 ? Math.ceil(g.duration / g.cadence) : 0)

/** When slot k is due. */
export const dueOf = (g: Grid, k: number): number => g.start + k * g.cadence

/** The number of the newest slot that is due at `now`, at most the last one; -1 before the start. */
export function slotAt(g: Grid, now: number): number {
  const n = slotsOf(g)
  if (n === 0 || now < g.start) return -1
  return Math.min(Math.floor((now - g.start) / g.cadence), n - 1)
}
