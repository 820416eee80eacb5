import type { Sample } from './outcomes'
import { errorsOf, lossOf, outageAfter, type Statistics, samplesOf, slotsOf } from './statistics'
import { counted, duration, ms, of } from './words'

export type Verdict =
  | 'NothingMeasured'
  | 'TooLittleData'
  | 'MeasuringFailed'
  | 'DeviceSilent'
  | 'DeviceDropped'
  | 'Lossy'
  | 'Healthy'

/** With fewer samples that say something about the device, one lost packet is more than 5 % of them. */
const enoughSamples = 20
const failedShare = 0.5
const lossyShare = 0.02
const notableShare = 0.01

/** Judges a job in one word, by the rules of internal/report. */
export function verdict(s: Statistics): Verdict {
  const judged = s.success + s.missed
  if (samplesOf(s) === 0) return 'NothingMeasured'
  if ((errorsOf(s) ?? 0) >= failedShare) return 'MeasuringFailed'
  if (judged < enoughSamples) return 'TooLittleData'
  if (s.success === 0) return 'DeviceSilent'
  if (s.outages > 0) return 'DeviceDropped'
  return (lossOf(s) ?? 0) > lossyShare ? 'Lossy' : 'Healthy'
}

/** What the figures are about. */
export const path =
  "This is the path from the poller to the modem's management address, not the customer's own traffic."

/**
 * Puts the verdict into sentences: what the device did, then what could not be measured, then what was not. `timeText` writes an instant
 * as what stands beside them does.
 */
export function says(s: Statistics, timeText: (at: number) => string): string {
  const parts = [aboutDevice(s, timeText)]
  if ((errorsOf(s) ?? 0) >= notableShare && verdict(s) !== 'MeasuringFailed') {
    parts.push(`Measuring failed in ${of(s.systemError, samplesOf(s), 'polls')}; that says nothing about the device.`)
  }
  if (s.unmeasured > 0 && samplesOf(s) > 0 && s.unmeasured >= notableShare * slotsOf(s)) {
    parts.push(`Nobody measured in ${of(s.unmeasured, slotsOf(s), 'slots')}, ${mainReason(s)}.`)
  }
  return parts.join(' ')
}

function aboutDevice(s: Statistics, timeText: (at: number) => string): string {
  const judged = s.success + s.missed
  switch (verdict(s)) {
    case 'NothingMeasured':
      if (s.unmeasured > 0)
        return `Nothing was measured: ${counted(s.unmeasured, 'slot')} passed without a poll, ${mainReason(s)}.`
      return s.over ? 'Nothing was measured.' : 'Nothing has been measured yet.'
    case 'MeasuringFailed':
      return `Measuring failed in ${of(s.systemError, samplesOf(s), 'polls')}: nothing can be said about the device. Look at SpreeDB first.`
    case 'TooLittleData':
      return `Too little was measured for a judgement: the device answered ${of(s.success, judged, 'polls')}.`
    case 'DeviceSilent':
      return `The device answered none of ${counted(judged, 'poll')}.`
    case 'DeviceDropped':
      return `The device was silent ${times(s.outages)}${s.outages === 1 ? ',' : ', the longest time'} for ${duration(s.outage?.lasted ?? 0)} from ${timeText(s.outage?.from ?? 0)} on. It missed ${of(s.missed, judged, 'polls')}.`
    case 'Lossy':
      return `The device answers, and loses packets: it missed ${of(s.missed, judged, 'polls')}, never ${outageAfter} in a row.`
    default:
      return s.missed === 0
        ? `The device answered all of ${counted(judged, 'poll')}.`
        : `The device is well: it missed only ${of(s.missed, judged, 'polls')}, never ${outageAfter} in a row.`
  }
}

function mainReason(s: Statistics): string {
  const first = s.reasons[0]
  if (!first) return ''
  return `${first.slots < s.unmeasured ? 'mostly because' : 'because'} ${reason(first.name)}`
}

const reasons: Record<string, string> = {
  OperatorDown: 'no operator was polling',
  Busy: 'the poll before was still running',
  Overload: 'it did not fit into the limits that protect SpreeDB',
  Suspended: 'the job was suspended',
  NoTarget: 'there was no usable target address',
  Lost: 'it was measured, and the sample was lost',
}

/** Says in words why a slot has no sample. */
export const reason = (name: string): string => reasons[name] ?? name

const times = (n: number): string => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`)

/** Says what became of a slot. */
export function outcomeText(s: Sample): string {
  if (s.status === 'missed') return 'no answer'
  if (s.status === 'system_error') return 'measuring failed, which says nothing about the device'
  return `answered in ${ms(s.rtt)}${s.jitter === null ? '' : `, jitter ${ms(s.jitter)}`}`
}
