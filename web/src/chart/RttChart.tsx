import { useElementSize } from '@mantine/hooks'
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from 'react'
import uPlot from 'uplot'
import { timeText } from '../components/When'
import { type Gap, lowerBound, type Sample } from '../statistics/outcomes'
import { outcomeText, reason } from '../statistics/verdict'
import { type Columns, columnsOf } from './columns'
import { colorsOf, drawGaps, drawMarks } from './marks'

const height = 300

interface Props {
  samples: readonly Sample[]
  gaps: readonly Gap[]
  /** The job's, in milliseconds. */
  cadence: number
  /** What is shown, in milliseconds since 1970. */
  from: number
  to: number
  dark: boolean
  /** Says in words what there is to see. */
  label: string
  /** Somebody chose a stretch of time with the pointer. */
  onChoose: (from: number, to: number) => void
}

/** The round-trip times of a job over time, with what was missed, what failed, and where nobody measured. */
export function RttChart({ samples, gaps, cadence, from, to, dark, label, onChoose }: Props) {
  const { ref, width } = useElementSize<HTMLDivElement>()
  const host = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const columns = useMemo(
    () => columnsOf(samples, gaps, cadence, from, to, width),
    [samples, gaps, cadence, from, to, width],
  )
  const drawn = useRef<{ columns: Columns; gaps: readonly Gap[]; from: number; to: number; choose: Props['onChoose'] }>(
    null as never,
  )
  drawn.current = { columns, gaps, from, to, choose: onChoose }
  const [pointed, setPointed] = useState<number | null>(null)

  useEffect(() => {
    if (!host.current || width === 0) return
    const u = new uPlot(options(width, dark, drawn, setPointed), [[], []], host.current)
    plot.current = u
    show(u, drawn.current)
    return () => {
      u.destroy()
      plot.current = null
    }
  }, [width, dark])

  useEffect(() => {
    if (plot.current) show(plot.current, { columns, from, to })
  }, [columns, from, to])

  const move = (event: KeyboardEvent) => {
    const by = {
      ArrowLeft: -1,
      ArrowRight: 1,
      PageUp: -20,
      PageDown: 20,
      Home: Number.NEGATIVE_INFINITY,
      End: Number.POSITIVE_INFINITY,
    }[event.key]
    if (by === undefined || samples.length === 0) return
    event.preventDefault()
    const now = pointed === null ? samples.length : Math.min(lowerBound(samples, pointed), samples.length - 1)
    const index = Math.min(Math.max(now + by, lowerBound(samples, from)), lowerBound(samples, to) - 1)
    const at = samples[index]?.at
    if (at === undefined) return
    setPointed(at)
    if (plot.current) plot.current.setCursor({ left: plot.current.valToPos(at, 'x'), top: 10 }, false)
  }

  return (
    <div className="chart" ref={ref}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys go through what it shows */}
      <div ref={host} role="img" aria-label={label} tabIndex={0} onKeyDown={move} className="canvas" />
      <output className="pointed" aria-live="polite">
        {pointed === null
          ? 'Point at the chart, or go through it with the arrow keys. Drag over a stretch of time to see it closer.'
          : outcomeAt(pointed, samples, gaps, cadence)}
      </output>
    </div>
  )
}

function show(u: uPlot, { columns, from, to }: { columns: Columns; from: number; to: number }) {
  u.batch(() => {
    u.setData([columns.x, columns.y] as uPlot.AlignedData, false)
    u.setScale('x', { min: from, max: to })
    u.setScale('y', { min: 0, max: Math.max(1, columns.highest * 1.08) })
  })
}

function options(
  width: number,
  dark: boolean,
  drawn: { current: { columns: Columns; gaps: readonly Gap[]; choose: Props['onChoose'] } },
  point: (at: number | null) => void,
): uPlot.Options {
  const colors = colorsOf(dark)
  const axis = {
    stroke: colors.text,
    grid: { stroke: colors.grid, width: 1 },
    ticks: { stroke: colors.grid, width: 1 },
    font: '12px system-ui, sans-serif',
  }
  return {
    width,
    height,
    ms: 1,
    legend: { show: false },
    scales: { x: { time: true, auto: false }, y: { auto: false } },
    axes: [axis, { ...axis, size: 64, values: (_, values) => values.map((v) => `${v} ms`) }],
    series: [
      {},
      {
        stroke: colors.line,
        width: 1.5,
        points: { show: (_u, _i, first, last) => last - first < 120, size: 5, fill: colors.line },
        spanGaps: false,
      },
    ],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    hooks: {
      drawClear: [(u) => drawGaps(u, drawn.current.gaps, colors)],
      draw: [(u) => drawMarks(u, drawn.current.columns, colors)],
      setCursor: [
        (u) =>
          point(
            u.cursor.left !== undefined && u.cursor.left !== null && u.cursor.left >= 0
              ? u.posToVal(u.cursor.left, 'x')
              : null,
          ),
      ],
      setSelect: [
        (u) => {
          if (u.select.width < 4) return
          drawn.current.choose(u.posToVal(u.select.left, 'x'), u.posToVal(u.select.left + u.select.width, 'x'))
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        },
      ],
    },
  }
}

/** Says what became of the slot next to an instant. */
export function outcomeAt(at: number, samples: readonly Sample[], gaps: readonly Gap[], cadence: number): string {
  const i = lowerBound(samples, at)
  const nearest = [samples[i - 1], samples[i]]
    .filter((s) => s !== undefined)
    .sort((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0]
  const gap = gaps.find((g) => at >= g.from - cadence / 2 && at <= g.to + cadence / 2)
  const distance = nearest ? Math.abs(nearest.at - at) : Number.POSITIVE_INFINITY
  if (gap && distance > cadence / 4) {
    return `${timeText(gap.from)} to ${timeText(gap.to)}: ${gap.slots === 1 ? 'a slot was' : `${gap.slots} slots were`} not measured, because ${reason(gap.reason)}.`
  }
  if (!nearest) return 'Nothing was measured here.'
  return `${timeText(nearest.at)}: ${outcomeText(nearest)}.`
}
