/** What went wrong, in a sentence that says what to do. */
export class Failure extends Error {
  constructor(
    sentence: string,
    /** Whether it may pass by itself, so that it is worth trying again. */
    readonly passing: boolean,
    /** PostgreSQL's, PostgREST's or the gateway's code; empty without one. */
    readonly code = '',
  ) {
    super(sentence)
  }
}

/** An answer of supabase-js that is none. */
export interface Refusal {
  message: string
  code?: string | null
  details?: string | null
  hint?: string | null
}

/** Puts an error of the database, of the gateway before it or of the network into a sentence. `status` is 0 where no answer came. */
export function failureOf(error: Refusal, status: number): Failure {
  const code = error.code ?? ''
  const message = tidy(error.message)
  const fail = (sentence: string, passing = false) => new Failure(sentence, passing, code)
  if (status === 0) return fail('The database cannot be reached: check your connection.', true)
  if (code === 'PGRST303' || (status === 401 && /jwt/i.test(message) && /expired/i.test(message))) {
    return fail('You were signed out because your sign-in had run out: sign in again.')
  }
  if (status === 401 && code === '42501') return fail(`You have to sign in for this: the database says "${message}".`)
  if (status === 401) {
    return fail(
      `Supabase refuses the key of this page ("${message}"). Whoever runs the page has to set SUPABASE_PUBLISHABLE_KEY to the project's publishable key.`,
    )
  }
  switch (code) {
    case '42501':
      return fail(`You may not do this: ${message}.`)
    case '23514':
    case '22P02':
    case '22003':
    case '23502':
    case 'P0001':
      return fail(`The database does not take this: ${message}.`)
    case '25006':
      return fail(
        'The database takes no changes at present, which is what Supabase does when it is full. Tell whoever runs it.',
      )
    case '57014':
      return fail('The database took too long. Narrow down what you look for, or try again.', true)
    case '42P01':
    case '42703':
    case 'PGRST204':
    case 'PGRST205':
      return fail(
        `The database lacks something that the page needs ("${message}"): apply the migrations in config/supabase.`,
      )
  }
  if (status === 540) return fail('The Supabase project is paused: its owner has to start it again in the dashboard.')
  return fail(
    `Supabase answered ${status}${code ? ` (${code})` : ''}: ${message}.`,
    status >= 500 || status === 408 || status === 429,
  )
}

/** A text from elsewhere as a part of a sentence. */
function tidy(text: string): string {
  const plain = text.replace(/\s+/g, ' ').trim()
  return (plain.length > 300 ? `${plain.slice(0, 300)}…` : plain).replace(/[.!]+$/, '') || 'no reason given'
}

/** What to show of anything that was thrown. */
export function sentenceOf(error: unknown): string {
  if (error instanceof Failure) return error.message
  return error instanceof Error
    ? `Something went wrong in this page: ${tidy(error.message)}. Load it anew.`
    : 'Something went wrong in this page: load it anew.'
}

/** What to show of an error of something that the page goes on asking for. */
export const sentenceOfReading = (error: unknown): string =>
  error instanceof Failure && error.passing ? `${sentenceOf(error)} The page tries again by itself.` : sentenceOf(error)
