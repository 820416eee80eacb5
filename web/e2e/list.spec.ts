import { account, expect, test } from './fixtures'

test('thousands of jobs are searched, filtered, sorted and leafed through by the server', async ({ page, db }) => {
  const name = account('many')
  const rows = Array.from({ length: 60 }, (_, i) => ({
    account_number: `${name}-${String(i).padStart(2, '0')}`,
    target_ip: `10.77.0.${i}`,
    cadence_seconds: 10,
    duration_minutes: 60,
    monitoring_mode: i % 2 === 0 ? 'simulated' : 'real_polling',
  }))
  const inserted = await db.from('jobs').insert(rows)
  expect(inserted.error).toBeNull()
  const cancelled = await db
    .from('jobs')
    .update({ status: 'cancelled', completed_at: new Date().toISOString() })
    .like('account_number', `${name}%`)
    .eq('status', 'running')
  expect(cancelled.error).toBeNull()

  await page.goto('/')
  await page.getByLabel('Search').fill(name)
  await expect(page.getByRole('status')).toHaveText('1 to 25 of 60 jobs')
  await page.getByRole('button', { name: 'Account' }).click()
  await expect(page.getByRole('columnheader', { name: 'Account' })).toHaveAttribute('aria-sort', 'ascending')
  await expect(page.getByRole('row').nth(1)).toContainText(`${name}-00`)
  await page.getByRole('button', { name: 'Page 3' }).click()
  await expect(page.getByRole('status')).toHaveText('51 to 60 of 60 jobs')
  await expect(page.getByRole('row').nth(1)).toContainText(`${name}-50`)
  await page.reload() // the address says what is shown
  await expect(page.getByRole('row').nth(1)).toContainText(`${name}-50`)

  await page.goto(`/?search=${name}&page=50`) // an address of when there were more
  await expect(page.getByRole('status')).toHaveText('1 to 25 of 60 jobs')
  await expect(page.getByRole('button', { name: 'Page 1', exact: true })).toHaveAttribute('aria-current', 'page')

  await page.getByRole('combobox', { name: 'Mode' }).click()
  await page.getByRole('option', { name: 'Real polling' }).click()
  await expect(page.getByRole('status')).toHaveText('1 to 25 of 30 jobs')
  await page.getByRole('combobox', { name: 'Status' }).click()
  await page.getByRole('option', { name: 'failed' }).click()
  await expect(page.getByText('No job is like that.')).toBeVisible()
  await page.getByRole('button', { name: 'Show all jobs' }).click()
  await expect(page.getByLabel('Search')).toHaveValue('')
  await page.getByLabel('Search').fill('10.77.0.59')
  await expect(page.getByRole('link', { name: new RegExp(`${name}-59`) })).toBeVisible()
})

test('a search means the characters that were typed', async ({ page }) => {
  await page.goto('/')
  for (const odd of ['%', '_x_', 'a,b)', '"', '\\', '*()']) {
    await page.getByLabel('Search').fill(`nobody ${odd}`)
    await expect(page.getByText('No job is like that.')).toBeVisible()
  }
})

test('an address of nothing says so', async ({ page }) => {
  await page.goto('/jobs/5b0c6f0e-0000-4000-8000-00000000dead')
  await expect(page.getByRole('heading', { name: 'No such job' })).toBeVisible()
  await page.goto('/jobs/nonsense')
  await expect(page.getByRole('heading', { name: 'No such job' })).toBeVisible()
  await page.goto('/nowhere')
  await expect(page.getByRole('heading', { name: 'No such page' })).toBeVisible()
})

test('an odd row keeps nobody from the others, and what cannot be shown at all says so', async ({ page, db }) => {
  const name = account('odd')
  const rows = ['one', 'two'].map((end) => ({ account_number: `${name}-${end}` }))
  const { data } = await db.from('jobs').insert(rows).select()
  const [one, two] = data ?? []
  const answer = (job: object) =>
    page.route('**/rest/v1/jobs?*', (route) =>
      route.fulfill({
        json: [job, two],
        headers: { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'content-range' },
      }),
    )
  await answer({ ...one, packet_loss_percent: 'NaN', avg_rtt_ms: 'Infinity', started_at: 'infinity' })
  await page.goto('/')
  await expect(page.getByRole('row', { name: `${name}-one` })).toBeVisible()
  await expect(page.getByRole('row', { name: `${name}-two` })).toBeVisible()
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await answer({ ...one, account_number: { first: 'x' } })
  await page.goto('/')
  await expect(page.getByRole('alert')).toContainText('Something went wrong in this page')
  await page.getByRole('link', { name: 'New job' }).click()
  await expect(page.getByRole('heading', { name: 'New job' })).toBeVisible()
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await db.from('jobs').update({ status: 'cancelled' }).like('account_number', `${name}%`)
})

test('what the poller says is wrong with a job is said in the list and on its page', async ({ page }) => {
  await page.goto('/?search=dead-modem')
  await expect(page.getByRole('row', { name: 'dead-modem' })).toContainText('The device does not answer', {
    timeout: 40_000,
  })
  await page.getByRole('link', { name: 'dead-modem' }).click()
  await expect(page.getByRole('alert')).toContainText('The device does not answer')
})
