/** What cmd/console tells the page at /config.json. Nothing in it is a secret. */
export interface Config {
  supabaseUrl: string
  publishableKey: string
  /** How the page gets to know who uses it: with Supabase Auth, not at all, or by a token that the demo hands out. */
  signIn: 'supabase' | 'none' | 'token'
  accessToken?: string
  version: string
}

export async function loadConfig(): Promise<Config> {
  const answer = await fetch('/config.json', { cache: 'no-store' })
  if (!answer.ok) throw new Error(`The server of this page answered ${answer.status} to /config.json.`)
  return (await answer.json()) as Config
}
