import { describe, expect, test } from 'vitest'
import { endOfJob, instantOf } from './job'
import { addressFault, canonicalAddress, emptyJob, rowOf, rules } from './newjob'

describe('an address of a modem', () => {
  test.each([
    ['10.1.2.3', '10.1.2.3'],
    [' 192.168.100.1 ', '192.168.100.1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['fd00::1', 'fd00::1'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
  ])('%s is taken as %s', (text, want) => {
    expect(addressFault(text)).toBeNull()
    expect(canonicalAddress(text)).toBe(want)
  })

  test.each([
    '10.1.2',
    '10.1.2.3.4',
    '10.1.2.256',
    '010.1.2.3',
    '0x0a.1.2.3',
    '167837955',
    'modem.example.com',
    '10.1.2.3/24',
    'fe80::1%eth0',
    '2001:db8::1::2',
    '::',
    '0.0.0.0',
    '127.0.0.1',
    '::1',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
    'x',
  ])('%s is refused in a sentence', (text) => {
    expect(addressFault(text)).toMatch(/^This .*\.$|^This .*1\.$/)
  })
})

describe('the form', () => {
  const real = { ...emptyJob, mode: 'real_polling' as const }
  test.each([
    ['an account', rules.accountNumber(' ', emptyJob), 'Enter the account number.'],
    ['a short account', rules.accountNumber('1'.repeat(65), emptyJob), 'Enter at most 64 characters.'],
    [
      'a target for real polling',
      rules.targetIP('', real),
      'Enter the management IP of the modem, such as 10.1.2.3 or 2001:db8::1.',
    ],
    ['no target for a simulation', rules.targetIP('', emptyJob), null],
    ['a whole cadence', rules.cadenceSeconds(1.5, emptyJob), 'Enter a whole number of seconds from 1 to 86400.'],
    ['some cadence', rules.cadenceSeconds('', emptyJob), 'Enter a whole number of seconds from 1 to 86400.'],
    [
      'a longest duration',
      rules.durationMinutes(525_601, emptyJob),
      'Enter a whole number of minutes from 1 to 525600.',
    ],
    [
      'more than one slot',
      rules.durationMinutes(1, { ...emptyJob, cadenceSeconds: 61 }),
      'The job would end before its second measurement: make it longer, or the cadence shorter.',
    ],
    ['an e-mail address', rules.email('nobody', emptyJob), 'Enter an address such as name@example.com, or nothing.'],
    ['no e-mail', rules.email('', emptyJob), null],
  ])('wants %s', (_, got, want) => expect(got).toBe(want))

  test('writes what was typed, and leaves the rest to the database', () => {
    const typed = {
      accountNumber: ' A-1 ',
      targetIP: '2001:DB8::0001',
      cadenceSeconds: '5',
      durationMinutes: 60,
      email: ' ',
      mode: 'real_polling',
    } as const
    const row = {
      id: 'id',
      account_number: 'A-1',
      target_ip: '2001:db8::1',
      cadence_seconds: 5,
      duration_minutes: 60,
      monitoring_mode: 'real_polling',
      notification_email: null,
    }
    expect(rowOf(typed, 'id', null)).toEqual(row)
    expect(rowOf(typed, 'id', 'me')).toEqual({ ...row, requester_id: 'me' })
  })
})

test('a time of PostgreSQL keeps its microseconds', () => {
  const whole = Date.parse('2026-11-29T08:00:00.123Z')
  expect(instantOf('2026-11-29T08:00:00.123456+00:00')).toBeCloseTo(whole + 0.456, 3)
  expect(instantOf('2026-11-29T08:00:00.123Z')).toBe(whole)
  expect(instantOf('2026-11-29T08:00:00+00:00')).toBe(whole - 123)
  expect(instantOf('yesterday')).toBeNaN()
})

test.each([
  ['runs', 'running', null, 7, null],
  ['was started anew', 'running', '2026-11-28T08:00:00Z', 7, null],
  ['is over', 'completed', '2026-11-29T08:00:00Z', 7, Date.parse('2026-11-29T08:00:00Z')],
  ['was cancelled by somebody who does not say when', 'cancelled', null, 7, 7],
  ['was never measured', 'cancelled', null, null, Date.parse('2026-11-29T07:00:00Z')],
] as const)('a job that %s ends', (_, status, completed_at, newest, want) => {
  expect(endOfJob({ status, completed_at, started_at: '2026-11-29T07:00:00Z' }, newest)).toBe(want)
})
