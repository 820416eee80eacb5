import type { SupabaseClient } from '@supabase/supabase-js'
import { failureOf } from '../errors'
import { instantOf } from '../job'

/** What the operators say about themselves. */
export interface Pollers {
  /** When one was last seen, in milliseconds since 1970; null if there never was one. */
  lastSeen: number | null
  /** What is wrong, in the words of those that were seen within the last minute. */
  messages: string[]
}

/** How long after it wrote its row a poller counts as gone: it writes every few seconds. */
export const pollerGone = 60_000

export async function loadPollers(db: SupabaseClient, now: number, signal: AbortSignal): Promise<Pollers> {
  const { data, error, status } = await db
    .from('pollers')
    .select('last_seen_at,message')
    .order('last_seen_at', { ascending: false })
    .limit(20)
    .abortSignal(signal)
    .overrideTypes<{ last_seen_at: string; message: string | null }[], { merge: false }>()
  if (error) throw failureOf(error, status)
  const seen = data.map((row) => ({ at: instantOf(row.last_seen_at), message: row.message }))
  return {
    lastSeen: seen[0]?.at ?? null,
    messages: [...new Set(seen.flatMap((p) => (p.message !== null && now - p.at < pollerGone ? [p.message] : [])))],
  }
}
