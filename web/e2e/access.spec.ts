import type { Locator } from '@playwright/test'
import { account, checkUsable, expect, real, startJob, test } from './fixtures'

for (const colorScheme of ['light', 'dark'] as const) {
  for (const [size, viewport] of [
    ['wide', { width: 1200, height: 900 }],
    ['narrow', { width: 360, height: 740 }],
  ] as const) {
    test(`${colorScheme} and ${size}, everybody can use it`, async ({ page, db }) => {
      test.setTimeout(120_000) // looking at a page with axe takes seconds
      await page.emulateMedia({ colorScheme })
      await page.setViewportSize(viewport)
      await page.goto('/')
      await expect(page.getByRole('table')).toBeVisible()
      await checkUsable(page)
      await page.goto('/?search=nobody-has-this')
      await expect(page.getByText('No job is like that.')).toBeVisible()
      await checkUsable(page)
      const id = await startJob(page, { ...real, account: account('axe'), ip: '10.20.0.2' })
      await expect(page.getByRole('listitem').filter({ hasText: 'no answer' }).first()).toBeVisible({ timeout: 40_000 })
      await checkUsable(page)
      expect(
        await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
      ).toBe(0)
      await page.getByRole('button', { name: 'Cancel job' }).click()
      await expect(page.getByRole('dialog')).toBeVisible()
      await checkUsable(page)
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click()
      await expect(page.getByText('cancelled', { exact: true })).toBeVisible()
      await page.goto('/new')
      await page.getByRole('button', { name: 'Start job' }).click()
      await expect(page.getByText('Enter the account number.')).toBeVisible()
      await checkUsable(page)
      await page.route('**/rest/v1/**', (route) => route.abort())
      await page.goto(`/jobs/${id}`)
      await expect(page.getByRole('alert')).toBeVisible()
      await checkUsable(page)
      await page.unrouteAll()
      await db.from('jobs').update({ status: 'cancelled' }).eq('id', id).eq('status', 'running')
    })
  }
}

test('nothing is cut off on a narrow screen, however long an account number is', async ({ page, db }) => {
  await page.setViewportSize({ width: 360, height: 740 })
  const name = account('9'.repeat(50))
  const id = await startJob(page, { account: name, cadence: 1, minutes: 60 })
  const inside = async (part: Locator) => {
    const box = await part.boundingBox()
    expect(box?.x).toBeGreaterThanOrEqual(0)
    expect((box?.x ?? 0) + (box?.width ?? 1000)).toBeLessThanOrEqual(360)
  }
  await inside(page.getByRole('heading', { name }))
  await inside(page.getByRole('button', { name: /colors$/ }))
  await inside(page.getByRole('button', { name: 'Cancel job' }))
  await page.getByRole('link', { name: 'Sound Check' }).click()
  await inside(page.getByRole('link', { name }))
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})

test('a job is started and read with the keyboard alone', async ({ page, db }) => {
  const name = account('keys')
  await page.goto('/')
  await page.getByRole('link', { name: 'New job' }).first().focus()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { name: 'New job' })).toBeVisible()
  await expect(page.getByRole('main')).toBeFocused()
  await page.keyboard.press('Tab')
  await expect(page.getByRole('radio', { name: 'Simulated' })).toBeFocused()
  await page.keyboard.press('ArrowDown')
  await expect(page.getByRole('radio', { name: 'Real polling' })).toBeChecked()
  await page.keyboard.press('Tab')
  await page.keyboard.type(name)
  await page.keyboard.press('Tab')
  await page.keyboard.type('10.20.0.1')
  await page.keyboard.press('Tab')
  await page.keyboard.press('ControlOrMeta+A')
  await page.keyboard.type('1')
  await page.keyboard.press('Enter')
  await page.waitForURL(/\/jobs\//)
  await expect(page.getByRole('listitem').filter({ hasText: ', jitter' })).not.toHaveCount(0)
  await page.getByRole('img', { name: /Chart of round-trip times/ }).focus()
  await page.keyboard.press('Home')
  await expect(page.locator('output')).toHaveText(/: answered in [\d.]+ ms\./)
  await page.keyboard.press('End')
  await expect(page.locator('output')).toHaveText(/: answered in [\d.]+ ms, jitter/)
  await db.from('jobs').update({ status: 'cancelled' }).eq('account_number', name)
})

test('a stretch of time is seen closer', async ({ page, db }) => {
  const id = await startJob(page, { ...real, account: account('closer') })
  await expect(page.getByRole('listitem').filter({ hasText: 'answered in' })).toHaveCount(12, { timeout: 30_000 })
  const box = await page.locator('.u-over').boundingBox()
  if (!box) throw new Error('no chart')
  await page.mouse.move(box.x + box.width * 0.2, box.y + 50)
  await page.mouse.down()
  await page.mouse.move(box.x + box.width * 0.6, box.y + 60, { steps: 5 })
  await page.mouse.up()
  await expect(page.getByRole('radio', { name: 'Chosen' })).toBeChecked()
  await page.getByRole('button', { name: 'Earlier' }).click()
  await expect(page.getByRole('button', { name: 'Earlier' })).toBeDisabled()
  await page.getByText('Whole job').click()
  await expect(page.getByRole('button', { name: 'Earlier' })).toBeHidden()
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})

test('a job of somebody else stays, and why is said', async ({ page, db, request }) => {
  // The policies say whose a job is; one of the demo's own jobs is nobody's.
  const { data } = await db.from('jobs').select('id').is('requester_id', null).eq('status', 'running').limit(1).single()
  await page.goto(`/jobs/${data?.id}`)
  await page.getByRole('button', { name: 'Cancel job' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click()
  await expect(page.getByRole('alert')).toContainText('only whoever started it may, and a supervisor')
  const config = await (await request.get('/config.json')).json()
  const answer = await request.get(`${config.supabaseUrl}/rest/v1/jobs?select=id`, {
    headers: { apikey: config.publishableKey },
  })
  expect(answer.status()).toBe(401) // without a token nobody sees anything
})

test('where nobody signs in, the page asks as anon, and says so if that may not', async ({ page }) => {
  await page.route('**/config.json', async (route) => {
    const { accessToken, ...config } = await (await route.fetch()).json()
    await route.fulfill({ json: { ...config, signIn: 'none' } })
  })
  await page.goto('/')
  await expect(page.getByRole('alert')).toContainText(
    'You have to sign in for this: the database says "permission denied for table jobs".',
  )
})
