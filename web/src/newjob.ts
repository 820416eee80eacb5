import ipaddr from 'ipaddr.js'
import type { Mode } from './job'

/** What the form holds: texts and numbers as they were typed. */
export interface NewJob {
  accountNumber: string
  targetIP: string
  cadenceSeconds: number | string
  durationMinutes: number | string
  email: string
  mode: Mode
}

export const emptyJob: NewJob = {
  accountNumber: '',
  targetIP: '',
  cadenceSeconds: 10,
  durationMinutes: 60,
  email: '',
  mode: 'simulated',
}

/** The limits of the operator, which refuses what is beyond them: api/v1alpha1. */
export const limits = { cadenceSeconds: 86_400, durationMinutes: 525_600, accountNumber: 64 } as const

/** What each field must be: a sentence that says what to do, or null. */
export const rules: { [field in keyof NewJob]: (value: NewJob[field], job: NewJob) => string | null } = {
  accountNumber: (text) => {
    if (text.trim() === '') return 'Enter the account number.'
    return text.trim().length > limits.accountNumber ? `Enter at most ${limits.accountNumber} characters.` : null
  },
  targetIP: (text, job) => {
    if (text.trim() === '') {
      return job.mode === 'simulated' ? null : 'Enter the management IP of the modem, such as 10.1.2.3 or 2001:db8::1.'
    }
    return addressFault(text)
  },
  cadenceSeconds: (value) => wholeFault(value, limits.cadenceSeconds, 'seconds'),
  durationMinutes: (value, job) => {
    const fault = wholeFault(value, limits.durationMinutes, 'minutes')
    if (fault !== null) return fault
    const cadence = Number(job.cadenceSeconds)
    return cadence > Number(value) * 60
      ? 'The job would end before its second measurement: make it longer, or the cadence shorter.'
      : null
  },
  email: (text) => {
    const trimmed = text.trim()
    return trimmed === '' || /^[^\s@]+@[^\s@]+\.[^\s@]+$/.test(trimmed)
      ? null
      : 'Enter an address such as name@example.com, or nothing.'
  },
  mode: () => null,
}

function wholeFault(value: number | string, most: number, unit: string): string | null {
  const n = typeof value === 'number' ? value : Number(value.trim() === '' ? Number.NaN : value)
  return Number.isInteger(n) && n >= 1 && n <= most ? null : `Enter a whole number of ${unit} from 1 to ${most}.`
}

/** Says why a text is no address of a single device; null if it is one. The operator takes no host names, zones or networks. */
export function addressFault(text: string): string | null {
  const address = parse(text.trim())
  if (!address) return 'This is no IP address: enter one such as 10.1.2.3 or 2001:db8::1.'
  switch (address.range()) {
    case 'unspecified':
    case 'multicast':
    case 'broadcast':
    case 'loopback':
      return 'This address does not belong to a modem: enter its management IP.'
    default:
      return null
  }
}

/** The address in its usual form, as it is stored: IPv6 in lower case, its longest run of zeros left out. */
export function canonicalAddress(text: string): string {
  const address = parse(text.trim())
  if (!address) return text.trim()
  if (address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress()) return address.toIPv4Address().toString()
  return address instanceof ipaddr.IPv6 ? address.toRFC5952String() : address.toString()
}

function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 | null {
  // IPv4 has four decimal numbers without leading zeros: what else the library takes, others read differently.
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) {
    return /(^|\.)0\d/.test(text) ? null : ipaddr.IPv4.parse(text)
  }
  if (text.includes('%') || !ipaddr.IPv6.isValid(text)) return null
  return ipaddr.IPv6.parse(text)
}

/** The row to insert, for whoever asks for it. Status and start are for the database to say. */
export function rowOf(job: NewJob, id: string, requester: string | null) {
  return {
    id,
    account_number: job.accountNumber.trim(),
    target_ip: job.targetIP.trim() === '' ? null : canonicalAddress(job.targetIP),
    cadence_seconds: Number(job.cadenceSeconds),
    duration_minutes: Number(job.durationMinutes),
    monitoring_mode: job.mode,
    notification_email: job.email.trim() || null,
    ...(requester === null ? {} : { requester_id: requester }),
  }
}
