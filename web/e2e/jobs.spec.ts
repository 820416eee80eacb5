import { gridOf } from '../src/job'
import { dueOf, slotsOf } from '../src/schedule'
import { sampleOf } from '../src/simulator/simulator'
import { account, expect, exported, real, rowOf, startJob, test } from './fixtures'

// Whole jobs take a minute, which is the shortest that there are: these run beside all others.

test('a real job that is started here is polled by the operator, drawn slot by slot, and completed', async ({
  page,
  db,
}) => {
  test.setTimeout(150_000)
  const id = await startJob(page, {
    account: account('real'),
    ip: '10.20.0.1',
    cadence: 2,
    minutes: 1,
    mode: 'Real polling',
  })
  await expect(page.getByText(/^Poller seen/)).toBeVisible()
  await expect(page.getByText(/of \d+ slots \(100\.00%\)/)).toBeVisible({ timeout: 30_000 })
  await expect(page.getByText('completed', { exact: true })).toBeVisible({ timeout: 100_000 })
  await expect(page.getByText('30 of 30 slots (100.00%)')).toBeVisible()
  await expect(page.getByText('The device answered all of 30 polls.')).toBeVisible()
  await expect(page.getByRole('img', { name: /Chart of round-trip times .* of 30 samples\./ })).toBeVisible()

  const job = await rowOf(db, id)
  expect(job).toMatchObject({
    status: 'completed',
    monitoring_mode: 'real_polling',
    total_samples: 30,
    packet_loss_percent: 0,
  })
  const lines = await exported(page)
  expect(lines.map((line) => line.due_at)).toEqual(
    Array.from({ length: 30 }, (_, k) => new Date(dueOf(gridOf(job), k)).toISOString()),
  )
  expect(new Set(lines.map((line) => line.status))).toEqual(new Set(['success']))
  // What the operator measured, and not what a simulator would make up.
  const made = Array.from({ length: 30 }, (_, k) => String(sampleOf(id, gridOf(job), k).rtt))
  expect(lines.filter((line, k) => line.rtt_ms === made[k])).toEqual([])
})

test('a simulated job goes on after a reload, is completed, and is never touched by the operator', async ({
  page,
  db,
}) => {
  test.setTimeout(150_000)
  const id = await startJob(page, { account: account('simulated'), cadence: 1, minutes: 1 })
  await expect(page.getByText('These samples were made up by a browser.')).toBeVisible()
  await expect(page.getByRole('list').filter({ hasText: 'answered in' })).toBeVisible()
  await page.goto('about:blank') // nobody makes samples up for a while
  const before = await rowOf(db, id)
  await page.goto(`/jobs/${id}`)
  await expect(page.getByText('completed', { exact: true })).toBeVisible({ timeout: 100_000 })
  await expect(page.getByText('60 of 60 slots (100.00%)')).toBeVisible()

  const job = await rowOf(db, id)
  expect(before.status).toBe('running')
  expect(job).toMatchObject({ status: 'completed', total_samples: 60, monitor_state: null, monitor_message: null })
  const grid = gridOf(job)
  const lines = await exported(page)
  const made = Array.from({ length: slotsOf(grid) }, (_, k) => sampleOf(id, grid, k))
  expect(lines.map((line) => [line.status, line.rtt_ms])).toEqual(
    made.map((s) => [s.status, s.rtt === null ? '' : String(s.rtt)]),
  )
})

test('a job is cancelled after a question, and its samples stay', async ({ page, db }) => {
  const id = await startJob(page, { ...real, account: account('cancelled') })
  await expect(page.getByRole('list').filter({ hasText: 'answered in' })).toBeVisible()
  await page.getByRole('button', { name: 'Cancel job' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Let it run' }).click()
  await expect(page.getByRole('dialog')).toBeHidden()
  expect((await rowOf(db, id)).status).toBe('running')
  await page.getByRole('button', { name: 'Cancel job' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel job' }).click()
  await expect(page.getByText('cancelled', { exact: true })).toBeVisible()
  await expect(page.getByRole('button', { name: 'Cancel job' })).toBeHidden()
  await expect(page.getByRole('list').filter({ hasText: 'answered in' })).toBeVisible()
  const job = await rowOf(db, id)
  expect(job.status).toBe('cancelled')
  expect(job.completed_at).not.toBeNull()
})

test('a silent device is told from loss, in words and in the list', async ({ page }) => {
  const name = account('silent')
  await startJob(page, { ...real, account: name, ip: '10.20.0.3' })
  await expect(page.getByText(/^The device answered none of [2-9]\d polls\./)).toBeVisible({ timeout: 50_000 })
  await expect(page.getByText(/(\d+) of \1 polls \(100\.00%\)/)).toHaveClass('high')
  await page.goto(`/?search=${name}`)
  await expect(page.getByText('100.00% (high)')).toBeVisible({ timeout: 40_000 })
})

test('a job without a target says what it waits for', async ({ page, db }) => {
  const name = account('waiting')
  const { data, error } = await db
    .from('jobs')
    .insert({ account_number: name, cadence_seconds: 5, duration_minutes: 60, monitoring_mode: 'real_polling' })
    .select('id')
    .single()
  expect(error).toBeNull()
  await page.goto(`/?search=${name}`)
  await expect(page.getByText(/Waits for a target IP/)).toBeVisible()
  await page.getByRole('link', { name }).click()
  await expect(page.getByRole('alert')).toContainText('Waits for a target IP')
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', data?.id)
})
