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
    global: { fetch: askAndCompare },
    db: { timeout: 15_000, retry: false },
    realtime: { params: { eventsPerSecond: 2 } },
  })
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
