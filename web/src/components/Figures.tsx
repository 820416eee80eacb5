import { Fragment, type ReactNode, useMemo } from 'react'
import { newestOf, type Outcomes } from '../data/outcomes'
import { endOfJob, gridOf, highLossShare, type Job } from '../job'
import { completenessOf, errorsOf, lossOf, outageAfter, samplesOf, slotsOf, statistics } from '../statistics/statistics'
import { reason, says } from '../statistics/verdict'
import { counted, duration, ms, of } from '../statistics/words'
import { timeText } from './When'

/** A job in figures, each share with what it is of, and in plain words. */
export function Figures({ job, outcomes, asOf }: { job: Job; outcomes: Outcomes; asOf: number }) {
  const s = useMemo(
    () => statistics(gridOf(job), endOfJob(job, newestOf(outcomes)), outcomes.samples, outcomes.gaps, asOf),
    [job, outcomes, asOf],
  )
  const due = slotsOf(s) + s.open
  const rows: [string, ReactNode, string?][] = [
    [
      'Packet loss',
      lossOf(s) === null ? '–' : of(s.missed, s.success + s.missed, 'polls'),
      (lossOf(s) ?? 0) > highLossShare ? 'high' : undefined,
    ],
    ['Measuring failed', errorsOf(s) === null ? '–' : of(s.systemError, samplesOf(s), 'polls')],
    ['Completeness', completenessOf(s) === null ? '–' : of(samplesOf(s), due, 'slots')],
    [
      'Longest outage',
      s.outage ? `${duration(s.outage.lasted)}, ${s.outage.missed} missed, from ${timeText(s.outage.from)}` : 'none',
    ],
    ['Outages', `${counted(s.outages, 'run')} of ${outageAfter} or more polls missed in a row`],
  ]
  const spreads = [
    ['Round-trip time', s.rtt],
    ['Jitter', s.jitter],
  ] as const
  return (
    <section aria-label="Figures" className="panel">
      <p className="verdict">{says(s, timeText)}</p>
      <div className="figures">
        <dl>
          {rows.map(([name, value, kind]) => (
            <Fragment key={name}>
              <dt>{name}</dt>
              <dd className={kind}>{value}</dd>
            </Fragment>
          ))}
          {s.reasons.map(({ name, slots }) => (
            <Fragment key={name}>
              <dt>Not measured</dt>
              <dd>
                {of(slots, due, 'slots')}, because {reason(name)}
              </dd>
            </Fragment>
          ))}
          {s.open > 0 && (
            <>
              <dt>{s.over ? 'Not known' : 'On their way'}</dt>
              <dd>
                {of(s.open, due, 'slots')} have {s.over ? 'neither a sample nor a reason' : 'no outcome yet'}
              </dd>
            </>
          )}
        </dl>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached with the keyboard */}
        <section className="scroll" aria-label="Percentiles" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <td />
                {['min', 'median', '95%', '99%', 'max', 'average'].map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {spreads.map(([name, x]) => (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  {[x?.min, x?.p50, x?.p95, x?.p99, x?.max, x?.avg].map((value, i) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: a column is where it is
                    <td key={i}>{ms(value)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </div>
    </section>
  )
}
