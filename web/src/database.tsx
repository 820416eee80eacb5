import type { SupabaseClient } from '@supabase/supabase-js'
import { createContext, useContext } from 'react'

/** Whoever uses the page. */
export interface User {
  /** The id that the database knows, with which a job is one's own; null where nobody signs in. */
  id: string | null
  email: string | null
}

interface Access {
  db: SupabaseClient
  user: User
}

const context = createContext<Access | null>(null)

export const AccessProvider = context.Provider

export function useAccess(): Access {
  const access = useContext(context)
  if (!access) throw new Error('useAccess is used outside of AccessProvider')
  return access
}
