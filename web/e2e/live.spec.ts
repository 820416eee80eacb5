import type { Page } from '@playwright/test'
import { account, expect, real, startJob, test } from './fixtures'

type Announce = { joined: number; sample: () => void }

/** A project with Realtime: as much of its protocol as a subscription needs, because the demo has none. It joins, and then says how it went. */
async function withRealtime(page: Page, status: 'ok' | 'error'): Promise<Announce> {
  const announce: Announce = { joined: 0, sample: () => {} }
  await page.routeWebSocket(/\/realtime\/v1\/websocket/, (socket) => {
    socket.onMessage((message) => {
      const [join, ref, topic, event, payload] = JSON.parse(String(message))
      const reply = (response: unknown) =>
        socket.send(JSON.stringify([join, ref, topic, 'phx_reply', { status: 'ok', response }]))
      if (event !== 'phx_join') return reply({})
      const changes = payload.config.postgres_changes.map((change: object, id: number) => ({ ...change, id: id + 1 }))
      reply({ postgres_changes: changes })
      const says = status === 'ok' ? 'Subscribed to PostgreSQL' : 'Unable to subscribe to changes with given parameters'
      const system = { status, extension: 'postgres_changes', channel: topic, message: says }
      socket.send(JSON.stringify([null, null, topic, 'system', system]))
      announce.joined++
      announce.sample = () => {
        const data = {
          schema: 'public',
          table: 'samples',
          type: 'INSERT',
          commit_timestamp: new Date().toISOString(),
          columns: [],
          record: {},
          errors: null,
        }
        socket.send(JSON.stringify([null, null, topic, 'postgres_changes', { ids: [1], data }]))
      }
    })
  })
  return announce
}

test('with Realtime a sample is shown when it is written', async ({ page, db }) => {
  const announce = await withRealtime(page, 'ok')
  const id = await startJob(page, { ...real, account: account('realtime') })
  await expect(page.getByText('Live by Realtime.')).toBeVisible()
  await expect
    .poll(async () => (await db.from('samples').select('id').eq('job_id', id).limit(1)).data?.length, {
      timeout: 30_000,
    })
    .toBe(1)
  const asked = page.waitForRequest(/\/rest\/v1\/samples/)
  announce.sample()
  await asked // within seconds, where without it would be half a minute
  await expect(page.getByRole('list').filter({ hasText: 'answered in' })).toBeVisible()
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})

test('without Realtime the page asks for news, and not for what it has', async ({ page, db }) => {
  const id = await startJob(page, { ...real, account: account('polled') })
  await expect(page.getByText('Live: looks for news every few seconds.')).toBeVisible()
  await expect(page.getByRole('listitem').filter({ hasText: 'answered in' })).toHaveCount(12, { timeout: 30_000 })
  const request = await page.waitForRequest(
    (r) => r.method() === 'GET' && r.url().includes('/rest/v1/samples?') && r.url().includes(id),
  )
  expect(new URL(request.url()).searchParams.get('scheduled_at')).toMatch(/^gte\./)
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})

test('a project whose Realtime follows other tables is asked for news', async ({ page, db }) => {
  const announce = await withRealtime(page, 'error')
  const id = await startJob(page, { ...real, account: account('unfollowed') })
  await expect.poll(() => announce.joined).toBe(1)
  await expect(page.getByRole('listitem').filter({ hasText: 'answered in' })).toHaveCount(12, { timeout: 30_000 })
  await expect(page.getByText('Live: looks for news every few seconds.')).toBeVisible()
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})

test('with Realtime a job whose schedule changes goes on', async ({ page, db }) => {
  const announce = await withRealtime(page, 'ok')
  const id = await startJob(page, { ...real, account: account('changed') })
  await expect(page.getByText('Live by Realtime.')).toBeVisible()
  // Only this job: its page simulates those of the other tests, too.
  await page.route(`**/rest/v1/jobs?*id=eq.${id}*`, async (route) => {
    if (route.request().method() !== 'GET') return route.continue()
    const answer = await route.fetch()
    const rows = (await answer.json()) as object[]
    await route.fulfill({ response: answer, json: rows.map((row) => ({ ...row, cadence_seconds: 2 })) })
  })
  await expect(page.getByText('every 2s for 1h')).toBeVisible()
  await expect(page.getByText('Live by Realtime.')).toBeVisible()
  const asked = page.waitForRequest(/\/rest\/v1\/samples/)
  announce.sample()
  await asked
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await db.from('jobs').update({ status: 'cancelled' }).eq('id', id)
})
