import AxeBuilder from '@axe-core/playwright'
import { test as base, expect, type Page } from '@playwright/test'
import { createClient, type SupabaseClient } from '@supabase/supabase-js'
import type { Config } from '../src/config'
import type { Job } from '../src/job'

/** What a test has beside the page: the REST API, as the user that the demo's page acts for. */
export const test = base.extend<{ db: SupabaseClient; clean: undefined }>({
  db: async ({ request }, use) => {
    const config = (await (await request.get('/config.json')).json()) as Config
    await use(
      createClient(config.supabaseUrl, config.publishableKey, { accessToken: async () => config.accessToken ?? '' }),
    )
  },
  // The page breaks neither its own Content-Security-Policy nor itself, whatever a test does.
  clean: [
    async ({ page }, use) => {
      const faults: string[] = []
      page.on('pageerror', (error) => faults.push(error.message))
      page.on('console', (message) => {
        if (/content security policy/i.test(message.text())) faults.push(message.text())
      })
      await use(undefined)
      expect(faults).toEqual([])
    },
    { auto: true },
  ],
})

export { expect }

/** Looks with axe whether everybody can use what is shown. */
export async function checkUsable(page: Page) {
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
    .analyze()
  expect(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.target.join(' ')).join('; ')}`)).toEqual([])
}

/** A job that the operator polls once a second, until the test is over. Its device answers. */
export const real = { ip: '10.20.0.1', cadence: 1, minutes: 60, mode: 'Real polling' }

/** Fills the form in and starts the job; gives its id when its page is there. */
export async function startJob(
  page: Page,
  job: { account: string; ip?: string; cadence: number; minutes: number; mode?: string },
): Promise<string> {
  await page.goto('/new')
  if (job.mode) await page.getByRole('radio', { name: job.mode }).check()
  await page.getByLabel('Account number').fill(job.account)
  if (job.ip) await page.getByLabel('Target IP').fill(job.ip)
  await page.getByLabel('Cadence (seconds)').fill(String(job.cadence))
  await page.getByLabel('Duration (minutes)').fill(String(job.minutes))
  await page.getByRole('button', { name: 'Start job' }).click()
  await page.waitForURL(/\/jobs\/[0-9a-f-]{36}$/)
  await expect(page.getByRole('heading', { name: job.account })).toBeVisible()
  return page.url().slice(-36)
}

export async function rowOf(db: SupabaseClient, id: string): Promise<Job> {
  const { data, error } = await db.from('jobs').select('*').eq('id', id).single()
  if (error) throw new Error(error.message)
  return data as Job
}

/** The lines of the file that the page gives for a spreadsheet. */
export async function exported(page: Page): Promise<Record<string, string>[]> {
  const coming = page.waitForEvent('download')
  await page.getByRole('button', { name: 'Export CSV' }).click()
  const stream = await (await coming).createReadStream()
  let text = ''
  for await (const chunk of stream) text += chunk
  const [head = '', ...lines] = text.trim().split('\r\n')
  const names = head.split(',')
  return lines.map((line) => Object.fromEntries(line.split(',').map((value, i) => [names[i], value])))
}

/** An account number that no other test uses. */
export const account = (name: string): string => `${name}-${Math.random().toString(36).slice(2, 8)}`
