import { describe, expect, test } from 'vitest'
import { Failure, failureOf, sentenceOf, sentenceOfReading } from './errors'
import { signInFault } from './pages/SignIn'

describe('an error becomes a sentence that says what to do', () => {
  test.each<[string, number, string | null, string, RegExp, boolean]>([
    [
      'no answer',
      0,
      null,
      'TypeError: Failed to fetch',
      /^The database cannot be reached: check your connection\.$/,
      true,
    ],
    [
      'a wrong key',
      401,
      null,
      'Invalid API key',
      /refuses the key of this page \("Invalid API key"\).*SUPABASE_PUBLISHABLE_KEY/,
      false,
    ],
    ['a token that ran out', 401, 'PGRST303', 'JWT expired', /sign in again/, false],
    ['a token that ran out, before PostgREST 14', 401, 'PGRST301', 'JWT expired', /sign in again/, false],
    ['nobody signed in', 401, '42501', 'permission denied for table jobs', /^You have to sign in/, false],
    [
      'no right',
      403,
      '42501',
      'new row violates row-level security policy for table "jobs"',
      /^You may not do this: new row/,
      false,
    ],
    [
      'a rule of the database',
      400,
      '23514',
      'cadence has to be at least 1 s.',
      /^The database does not take this: cadence has to be at least 1 s\.$/,
      false,
    ],
    ['a full project', 405, '25006', 'cannot execute INSERT in a read-only transaction', /takes no changes/, false],
    ['a slow query', 500, '57014', 'canceling statement due to statement timeout', /took too long/, true],
    [
      'a missing migration',
      404,
      'PGRST205',
      "Could not find the table 'public.pollers'",
      /apply the migrations/,
      false,
    ],
    ['a paused project', 540, null, '', /paused/, false],
    ['an outage', 503, null, 'upstream connect error', /^Supabase answered 503: upstream connect error\.$/, true],
    ['too many requests', 429, null, 'Too many', /^Supabase answered 429: Too many\.$/, true],
    ['something else', 418, 'X1', 'a\n  teapot!', /^Supabase answered 418 \(X1\): a teapot\.$/, false],
    ['a long text', 400, 'X1', 'x'.repeat(5000), /^Supabase answered 400 \(X1\): x{300}…\.$/, false],
  ])('%s', (_, status, code, message, want, passing) => {
    const failure = failureOf({ message, code }, status)
    expect(failure.message).toMatch(want)
    expect(failure.passing).toBe(passing)
  })

  test('and so does what was thrown', () => {
    expect(sentenceOf(new Failure('Do this.', false))).toBe('Do this.')
    expect(sentenceOf(new Error('x is not a function'))).toBe(
      'Something went wrong in this page: x is not a function. Load it anew.',
    )
    expect(sentenceOf('odd')).toBe('Something went wrong in this page: load it anew.')
  })

  test.each([
    [400, 'invalid_credentials', 'Invalid login credentials', 'The address or the password is not right.'],
    [429, 'over_request_rate_limit', 'Too many', 'You tried too often: wait a minute.'],
    [0, '', 'Failed to fetch', 'Supabase cannot be reached: check your connection, and try again.'],
    [404, '', 'not found', 'This Supabase project has no sign-in: whoever runs the page can set CONSOLE_SIGN_IN=none.'],
    [500, '', 'odd', 'Supabase says "odd".'],
  ])('a sign-in that fails with %s %s', (status, code, message, want) => {
    expect(signInFault(status, code, message)).toBe(want)
  })
})

test('what may pass is tried again where something is read, and only there', () => {
  const passing = new Failure('No answer.', true)
  expect([sentenceOf(passing), sentenceOfReading(passing)]).toEqual([
    'No answer.',
    'No answer. The page tries again by itself.',
  ])
  expect(sentenceOfReading(new Failure('No right.', false))).toBe('No right.')
})
