import { duration } from '../statistics/words'
import { useNow } from './now'

const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' })
const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'short', timeStyle: 'short' })

/** An instant in the time of whoever looks, in milliseconds since 1970; a dash for what is none. */
export const timeText = (at: number): string => (Number.isNaN(at) ? '–' : full.format(at))
export const clockText = (at: number): string => (Number.isNaN(at) ? '–' : clock.format(at))

/** Whose time that is, such as America/Phoenix. */
export const zone = (): string => full.resolvedOptions().timeZone

/** A day and a time in short. */
export const When = ({ at }: { at: number }) =>
  Number.isNaN(at) ? (
    '–'
  ) : (
    <time dateTime={new Date(at).toISOString()} title={timeText(at)}>
      {day.format(at)}
    </time>
  )

/** How long ago something was, which grows by itself. */
export function Ago({ at }: { at: number }) {
  const now = useNow()
  return (
    <time dateTime={new Date(at).toISOString()} title={timeText(at)}>
      {agoText(at, now)}
    </time>
  )
}

/** Clocks differ by a little: what seems to lie ahead was just now. */
export const agoText = (at: number, now: number): string => (now - at < 1000 ? 'just now' : `${duration(now - at)} ago`)
