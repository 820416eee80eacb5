import { Button, Group, SegmentedControl, useComputedColorScheme } from '@mantine/core'
import { useMemo, useState } from 'react'
import { RttChart } from '../chart/RttChart'
import { newestOf, type Outcomes } from '../data/outcomes'
import { endOfJob, gridOf, type Job } from '../job'
import { endOf } from '../schedule'
import { counted, duration } from '../statistics/words'
import { timeText } from './When'

/** What of a job the chart shows: the whole, its newest part, or a stretch that somebody chose. */
type Range = { kind: 'all' } | { kind: 'last'; length: number } | { kind: 'chosen'; from: number; to: number }

const minute = 60_000
const lengths = [10 * minute, 60 * minute, 24 * 60 * minute]

export function JobChart({ job, outcomes, now }: { job: Job; outcomes: Outcomes; now: number }) {
  const [range, setRange] = useState<Range>({ kind: 'all' })
  const dark = useComputedColorScheme('light') === 'dark'
  const grid = gridOf(job)
  const { samples, gaps } = outcomes
  const first = Math.min(samples[0]?.at ?? grid.start, gaps[0]?.from ?? grid.start, grid.start)
  const newest = newestOf(outcomes) ?? first
  const ended = endOfJob(job, newest)
  // Rounded to the cadence, so that what is drawn is not worked out anew each second.
  const until = ended ?? grid.start + Math.floor((now - grid.start) / grid.cadence) * grid.cadence
  const edge = Math.max(newest, Math.min(until, endOf(grid)))
  const all = { from: first, to: Math.max(edge, first + grid.cadence) }
  const { from, to } =
    range.kind === 'all'
      ? all
      : range.kind === 'last'
        ? { from: Math.max(all.from, all.to - range.length), to: all.to }
        : range
  const shown = useMemo(() => label(samples.length, gaps.length, from, to), [samples.length, gaps.length, from, to])
  const usable = lengths.filter((length) => length < all.to - all.from)
  const move = (by: number) => {
    const length = to - from
    const begin = Math.min(Math.max(from + by * length, all.from), all.to - length)
    setRange({ kind: 'chosen', from: begin, to: begin + length })
  }
  return (
    <section aria-label="Round-trip times" className="panel">
      <Group justify="space-between" mb={4}>
        {(usable.length > 0 || range.kind !== 'all') && (
          <SegmentedControl
            size="xs"
            aria-label="What the chart shows"
            value={range.kind === 'chosen' ? 'chosen' : range.kind === 'all' ? 'all' : String(range.length)}
            onChange={(value) => {
              if (value !== 'chosen')
                setRange(value === 'all' ? { kind: 'all' } : { kind: 'last', length: Number(value) })
            }}
            data={[
              { value: 'all', label: 'Whole job' },
              ...usable.map((length) => ({ value: String(length), label: `Last ${duration(length)}` })),
              ...(range.kind === 'chosen' ? [{ value: 'chosen', label: 'Chosen' }] : []),
            ]}
          />
        )}
        {range.kind !== 'all' && (
          <Group gap={4}>
            <Button size="compact-xs" variant="default" disabled={from <= all.from} onClick={() => move(-0.8)}>
              Earlier
            </Button>
            <Button size="compact-xs" variant="default" disabled={to >= all.to} onClick={() => move(0.8)}>
              Later
            </Button>
          </Group>
        )}
      </Group>
      <RttChart
        samples={samples}
        gaps={gaps}
        cadence={grid.cadence}
        from={from}
        to={to}
        dark={dark}
        label={shown}
        onChoose={(a, b) => setRange({ kind: 'chosen', from: Math.max(a, all.from), to: Math.min(b, all.to) })}
      />
      <ul className="legend">
        <li className="key-line">round-trip time</li>
        <li className="key-missed">no answer</li>
        <li className="key-failed">measuring failed</li>
        <li className="key-gap">not measured</li>
      </ul>
    </section>
  )
}

function label(samples: number, gaps: number, from: number, to: number): string {
  return `Chart of round-trip times from ${timeText(from)} to ${timeText(to)}, of ${counted(samples, 'sample')}${gaps > 0 ? ` and ${counted(gaps, 'gap')}` : ''}. The figures below say the same in numbers.`
}
