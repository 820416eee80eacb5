import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import { askAndCompare } from './clock'
import type { Config } from './config'

/** A client that acts as whoever signed in, as the demo's user, or as nobody in particular (anon). */
export function connect(config: Config): SupabaseClient {
  const { accessToken } = config
  const token = config.signIn === 'token' && accessToken !== undefined ? { accessToken: async () => accessToken } : {}
  return createClient(config.supabaseUrl, config.publishableKey, {
    ...token,
    auth: {
      persistSession: config.signIn === 'supabase',
      autoRefreshToken: config.signIn === 'supabase',
      detectSessionInUrl: false,
    },
    global: { fetch: withoutKeyAsToken(config.publishableKey) },
    db: { timeout: 15_000, retry: false },
    realtime: { params: { eventsPerSecond: 2 } },
  })
}

/**
 * Asks without the publishable key as a bearer token, which supabase-js sends where nobody is signed in: it is a key and no token, and
 * PostgREST refuses it as one. In the header apikey it stands for anon. Older keys are tokens as well, and stay.
 */
export function withoutKeyAsToken(key: string): typeof fetch {
  return (input, init) => {
    const headers = new Headers(init?.headers)
    if (key.startsWith('sb_') && headers.get('authorization') === `Bearer ${key}`) headers.delete('authorization')
    return askAndCompare(input, { ...init, headers })
  }
}

/** Whoever a token of the demo is for: its claim `sub`. Null for what is no such token. */
export function subjectOf(token: string): string | null {
  try {
    const claims = JSON.parse(atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'))) as {
      sub?: unknown
    }
    return typeof claims.sub === 'string' ? claims.sub : null
  } catch {
    return null
  }
}
