import type { Grid } from './schedule'
import type { Gap, Sample } from './statistics/outcomes'

/** A table of every slot that has an outcome, a line each, in the order of time, for a spreadsheet. */
export function csvOf(grid: Grid, samples: readonly Sample[], gaps: readonly Gap[]): string {
  const rows: [number, string][] = samples.map((s) => [
    s.at,
    `${instant(s.at)},${s.status},${s.rtt ?? ''},${s.jitter ?? ''},`,
  ])
  for (const gap of gaps) {
    // The cadence may have been another when the gap was.
    const step = gap.slots > 1 ? (gap.to - gap.from) / (gap.slots - 1) : grid.cadence
    for (let k = 0; k < gap.slots; k++) {
      const at = gap.from + k * step
      rows.push([at, `${instant(at)},unmeasured,,,${field(gap.reason)}`])
    }
  }
  rows.sort((a, b) => a[0] - b[0])
  return `due_at,status,rtt_ms,jitter_ms,reason\r\n${rows.map(([, line]) => `${line}\r\n`).join('')}`
}

const instant = (at: number): string => new Date(at).toISOString()

/** A text as a field. What a spreadsheet would take for a formula is made a plain text. */
function field(text: string): string {
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain
}
