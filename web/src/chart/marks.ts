import type uPlot from 'uplot'
import type { Gap } from '../statistics/outcomes'
import type { Columns } from './columns'

export interface Colors {
  line: string
  text: string
  grid: string
  missed: string
  failed: string
  gap: string
  hatch: string
}

/** Colors that keep apart for those who see red and green alike; form and place tell the same. */
export const colorsOf = (dark: boolean): Colors =>
  dark
    ? {
        line: '#6cb2ff',
        text: '#c9d1d9',
        grid: '#343a42',
        missed: '#ff7b72',
        failed: '#e3b341',
        gap: '#2b3038',
        hatch: '#5b6470',
      }
    : {
        line: '#1463b0',
        text: '#3c4650',
        grid: '#e4e8ec',
        missed: '#c92a2a',
        failed: '#a05a00',
        gap: '#eef0f3',
        hatch: '#aab2bb',
      }

/** Shades the stretches in which nobody measured, behind all else. */
export function drawGaps(u: uPlot, gaps: readonly Gap[], colors: Colors) {
  const { ctx, bbox } = u
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  const pixel = devicePixelRatio
  for (const gap of gaps) {
    const left = u.valToPos(gap.from, 'x', true)
    const right = u.valToPos(gap.to, 'x', true)
    if (right < bbox.left || left > bbox.left + bbox.width) continue
    const x = Math.max(left - pixel, bbox.left)
    const width = Math.max(Math.min(right, bbox.left + bbox.width) - x + pixel, 2 * pixel)
    ctx.fillStyle = colors.gap
    ctx.fillRect(x, bbox.top, width, bbox.height)
    hatch(ctx, x, bbox.top, width, bbox.height, colors.hatch)
  }
  ctx.restore()
}

function hatch(ctx: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, color: string) {
  const step = 8 * devicePixelRatio
  ctx.save()
  ctx.beginPath()
  ctx.rect(x, y, width, height)
  ctx.clip()
  ctx.beginPath()
  for (let d = Math.floor((x - height) / step) * step; d < x + width; d += step) {
    ctx.moveTo(d, y + height)
    ctx.lineTo(d + height, y)
  }
  ctx.strokeStyle = color
  ctx.lineWidth = devicePixelRatio
  ctx.stroke()
  ctx.restore()
}

/** Marks what was missed with ticks at the bottom, and what failed with diamonds above those. */
export function drawMarks(u: uPlot, columns: Columns, colors: Colors) {
  const { ctx, bbox } = u
  const pixel = devicePixelRatio
  const bottom = bbox.top + bbox.height
  const inside = (x: number) => x >= bbox.left - 1 && x <= bbox.left + bbox.width + 1
  ctx.save()
  ctx.fillStyle = colors.missed
  for (const at of columns.missed) {
    const x = u.valToPos(at, 'x', true)
    if (inside(x)) ctx.fillRect(x - pixel, bottom - 14 * pixel, 2 * pixel, 14 * pixel)
  }
  ctx.fillStyle = colors.failed
  for (const at of columns.failed) {
    const x = u.valToPos(at, 'x', true)
    if (!inside(x)) continue
    const y = bottom - 22 * pixel
    const r = 4.5 * pixel
    ctx.beginPath()
    ctx.moveTo(x, y - r)
    ctx.lineTo(x + r, y)
    ctx.lineTo(x, y + r)
    ctx.lineTo(x - r, y)
    ctx.fill()
  }
  ctx.restore()
}
