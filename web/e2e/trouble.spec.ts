import type { Page } from '@playwright/test'
import { account, expect, real, rowOf, startJob, test } from './fixtures'

const rest = '**/rest/v1/**'
const away = (page: Page) => page.route(rest, (route) => route.abort('connectionrefused'))
const failing = (page: Page) =>
  page.route(rest, (route) =>
    route.fulfill({
      status: 503,
      headers: { 'access-control-allow-origin': '*' },
      json: { code: 'PGRST000', message: 'Database connection error. Retrying the connection.' },
    }),
  )

for (const [what, break_, says] of [
  ['cannot be reached', away, 'The database cannot be reached: check your connection.'],
  ['answers with errors', failing, 'Supabase answered 503 (PGRST000): Database connection error.'],
] as const) {
  test(`a database that ${what} is said so, nothing that is shown or typed goes away, and it goes on by itself`, async ({
    page,
    db,
  }) => {
    const id = await startJob(page, { ...real, account: account('outage') })
    await expect(page.getByRole('list').filter({ hasText: 'answered in' })).toBeVisible()
    await break_(page)
    await expect(page.getByRole('alert')).toContainText('This is what was known at')
    await expect(page.getByRole('alert')).toContainText(says)
    await expect(page.getByRole('alert')).toContainText('The page tries again by itself.')
    await expect(page.getByRole('list').filter({ hasText: 'answered in' })).toBeVisible()
    await page.unroute(rest)
    await expect(page.getByRole('alert')).toBeHidden({ timeout: 30_000 })

    await page.getByRole('link', { name: 'New job' }).click()
    const name = account('kept')
    await page.getByLabel('Account number').fill(name)
    await page.getByLabel('Notification e-mail').fill('me@example.com')
    await break_(page)
    await page.getByRole('button', { name: 'Start job' }).click()
    await expect(page.getByRole('alert')).toContainText('The job may not have been started')
    await expect(page.getByRole('alert')).toContainText(says)
    await expect(page.getByRole('alert')).not.toContainText('The page tries again by itself.')
    await page.unroute(rest)
    await page.reload()
    await expect(page.getByLabel('Account number')).toHaveValue(name)
    await expect(page.getByLabel('Notification e-mail')).toHaveValue('me@example.com')
    await page.getByRole('button', { name: 'Start job' }).click()
    await page.waitForURL(/\/jobs\//)
    await db
      .from('jobs')
      .update({ status: 'cancelled' })
      .in('id', [id, page.url().slice(-36)])
  })
}

for (const [what, changed, jobs] of [
  ['is not started twice', null, 1],
  ['is told from one that was entered since', '7', 2],
] as const) {
  test(`a job whose answer was lost ${what}`, async ({ page, db }) => {
    const name = account('once')
    await page.goto('/new')
    await page.getByLabel('Account number').fill(name)
    let lost = 0
    await page.route('**/rest/v1/jobs*', async (route) => {
      if (route.request().method() !== 'POST' || lost > 0) return route.continue()
      await route.fetch()
      lost++
      return route.abort('connectionreset')
    })
    const start = page.getByRole('button', { name: 'Start job' })
    await start.click()
    await expect(page.getByRole('alert')).toContainText('The job may not have been started')
    if (changed) {
      await page.getByLabel('Cadence (seconds)').fill(changed)
      await start.click()
      await expect(page.getByRole('alert')).toContainText('The try before was stored after all')
    }
    await start.click()
    await page.waitForURL(/\/jobs\//)
    const { data } = await db.from('jobs').select('cadence_seconds').eq('account_number', name)
    expect(data).toHaveLength(jobs)
    if (changed) await expect(page.getByText(`every ${changed}s for 1h`)).toBeVisible()
    await db.from('jobs').update({ status: 'cancelled' }).eq('account_number', name)
  })
}

test('a wrong key is named, and what to do about it', async ({ page }) => {
  await page.route('**/config.json', async (route) => {
    const answer = await route.fetch()
    await route.fulfill({ json: { ...(await answer.json()), publishableKey: 'sb_publishable_wrong' } })
  })
  await page.goto('/')
  await expect(page.getByRole('alert')).toContainText('Supabase refuses the key of this page ("Invalid API key").')
  await expect(page.getByRole('alert')).toContainText('SUPABASE_PUBLISHABLE_KEY')
})

test('a console that does not answer is named', async ({ page }) => {
  await page.route('**/config.json', (route) => route.fulfill({ status: 502, body: 'bad gateway' }))
  await page.goto('/')
  await expect(page.getByRole('alert')).toContainText('answered 502 to /config.json')
})

test('what was mistyped is said beside the field, which gets the focus', async ({ page }) => {
  await page.goto('/new')
  await page.getByRole('radio', { name: 'Real polling' }).check()
  await page.getByLabel('Account number').fill('A-1')
  await page.getByLabel('Target IP').fill('10.1.2.300')
  await page.getByLabel('Cadence (seconds)').fill('0')
  await page.getByRole('button', { name: 'Start job' }).click()
  await expect(page.getByText('This is no IP address: enter one such as 10.1.2.3 or 2001:db8::1.')).toBeVisible()
  await expect(page.getByText('Enter a whole number of seconds from 1 to 86400.')).toBeVisible()
  await expect(page.getByLabel('Target IP')).toBeFocused()
})

test('a running job that gets no samples says where to look', async ({ page, db }) => {
  const id = await startJob(page, { ...real, account: account('unseen') })
  const job = await rowOf(db, id)
  const hours = (n: number) => new Date(Date.now() - n * 3_600_000).toISOString()
  await page.route('**/rest/v1/samples*', (route) =>
    route.fulfill({ json: [], headers: { 'access-control-allow-origin': '*' } }),
  )
  await page.route('**/rest/v1/jobs?*', (route) =>
    route.fulfill({ json: [{ ...job, started_at: hours(0.5) }], headers: { 'access-control-allow-origin': '*' } }),
  )
  await page.route('**/rest/v1/pollers*', (route) =>
    route.fulfill({
      json: [{ last_seen_at: hours(0.25), message: null }],
      headers: { 'access-control-allow-origin': '*' },
    }),
  )
  await page.reload()
  await expect(page.getByRole('alert')).toContainText('No sample has come since the job began 30m ago.')
  await expect(page.getByRole('alert')).toContainText(
    'The poller was last seen 15m ago: it is down, or cannot reach the database.',
  )
  await page.unrouteAll()
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})

test('the verdict, the figures and the chart have the times of one zone, which is named', async ({ page, db }) => {
  const id = await startJob(page, { account: account('zone'), cadence: 10, minutes: 60 })
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
  const job = {
    ...(await rowOf(db, id)),
    started_at: '2026-11-29T08:00:00+00:00',
    completed_at: '2026-11-29T08:05:00+00:00',
  }
  const samples = Array.from({ length: 30 }, (_, k) => {
    const due = new Date(Date.UTC(2026, 10, 29, 8, 0, 10 * k)).toISOString()
    const missed = k >= 12 && k < 18
    return {
      scheduled_at: due,
      recorded_at: due,
      status: missed ? 'missed' : 'success',
      rtt_ms: missed ? null : 12,
      jitter_ms: null,
    }
  })
  const headers = { 'access-control-allow-origin': '*' }
  await page.route('**/rest/v1/samples*', (route) =>
    route.fulfill({ json: route.request().url().includes('scheduled_at=not.is.null') ? samples : [], headers }),
  )
  await page.route('**/rest/v1/jobs?*', (route) => route.fulfill({ json: [job], headers }))
  await page.reload()
  const from = 'Nov 29, 2026, 1:02:00 AM' // 8:02 UTC in Phoenix, where the browser is
  await expect(page.getByText(`The device was silent once, for 1m from ${from} on.`)).toBeVisible()
  await expect(page.getByText(`1m, 6 missed, from ${from}`)).toBeVisible()
  await expect(page.getByText('Times are those of America/Phoenix, as in this browser.')).toBeVisible()
  await page.getByRole('img', { name: /from Nov 29, 2026, 1:00:00 AM to Nov 29, 2026, 1:0/ }).focus()
  await page.keyboard.press('Home')
  await expect(page.locator('output')).toHaveText('Nov 29, 2026, 1:00:00 AM: answered in 12.0 ms.')
  await expect(page.getByText('UTC')).toHaveCount(0)
})

test('slots of a job that is over, of which nobody knows anything, are not called on their way', async ({
  page,
  db,
}) => {
  const id = await startJob(page, { account: account('unknown'), cadence: 10, minutes: 60 })
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
  const job = await rowOf(db, id)
  const hours = (n: number) => new Date(Date.now() - n * 3_600_000).toISOString()
  const headers = { 'access-control-allow-origin': '*' }
  await page.route('**/rest/v1/samples*', (route) => route.fulfill({ json: [], headers }))
  await page.route('**/rest/v1/jobs?*', (route) =>
    route.fulfill({ json: [{ ...job, started_at: hours(3), completed_at: hours(2) }], headers }),
  )
  await page.reload()
  await expect(page.getByText('360 of 360 slots (100.00%) have neither a sample nor a reason')).toBeVisible()
  await expect(page.getByText('On their way')).toBeHidden()
})
