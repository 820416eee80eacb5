import type { Outcomes } from '../data/outcomes'
import { outcomeText } from '../statistics/verdict'
import { clockText } from './When'

const shown = 12

/** The newest samples in words, for those who do not see the chart and for whoever waits for the next. */
export function Latest({ outcomes }: { outcomes: Outcomes }) {
  const latest = outcomes.samples.slice(-shown).reverse()
  if (latest.length === 0) return null
  return (
    <section aria-label="Latest samples" className="panel">
      <h2>Latest samples</h2>
      <ol className="latest">
        {latest.map((s) => (
          <li key={s.at} className={s.status}>
            <time dateTime={new Date(s.at).toISOString()}>{clockText(s.at)}</time> {outcomeText(s)}
          </li>
        ))}
      </ol>
    </section>
  )
}
