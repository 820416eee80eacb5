import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createClient } from '@supabase/supabase-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { instantOf, type Job } from '../job'
import { loadAll, loadNew, type Outcomes } from './outcomes'

const start = Date.parse('2026-01-01T00:00:00Z')
const text = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}.123456+00:00`

/** What the stand-in for PostgREST has: when samples were due, as texts in their order. It answers no more than `most` rows. */
const has = { due: [] as string[], at: [] as number[], most: 1000, failing: 0 }
let asked = 0

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '', 'http://localhost')
  const reply = (status: number, body: unknown) => {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
  const bounds = url.searchParams.getAll('scheduled_at')
  if (url.pathname !== '/rest/v1/samples' || bounds.includes('is.null')) return reply(200, [])
  if (++asked % 10 === 5 && has.failing-- > 0) return reply(503, { code: 'PGRST000', message: 'Try again.' })
  const bound = (op: string) => instantOf(bounds.find((b) => b.startsWith(`${op}.`))?.slice(op.length + 1) ?? '')
  const [after, from, until] = [bound('gt'), bound('gte'), bound('lte')]
  // What is compared to NaN, where there is no such bound, is false.
  const rows = has.due.filter((_, i) => {
    const at = has.at[i] as number
    return !(at <= after || at < from || at > until)
  })
  reply(
    200,
    rows
      .slice(0, Math.min(has.most, Number(url.searchParams.get('limit'))))
      .map((due) => ({ scheduled_at: due, recorded_at: due, status: 'success', rtt_ms: 1, jitter_ms: null })),
  )
})
beforeAll(() => once(server.listen(0, '127.0.0.1'), 'listening'))
afterAll(() => server.close())

const day = Array.from({ length: 8640 }, (_, k) => text(start + k * 10_000))
const read = () => {
  const db = createClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'key')
  const job = { id: 'x', started_at: text(start), cadence_seconds: 10, duration_minutes: 1440 } as Job
  const { signal } = new AbortController()
  return {
    all: () => loadAll(db, job, signal, () => {}),
    news: (known: Outcomes) => loadNew(db, job, known, signal),
  }
}
const stored = (due: string[], most = 1000, failing = 0) => {
  Object.assign(has, { due, at: due.map(instantOf), most, failing })
  asked = 0
}
const timesOf = (outcomes: Outcomes) => outcomes.samples.map((s) => s.at).join()

test.each<[string, string[], number, number, number]>([
  ['a database that cuts off sooner', day, 300, 0, 40], // first: what a project cuts off at is remembered
  ['a request for each thousand', day, 1000, 0, 10],
  ['requests that fail', day, 1000, 2, 12],
  ['old samples of a job that was started anew', [text(start - 86_400_000), ...day], 1000, 0, 11],
  ['samples off the grid', day.flatMap((due) => [due, due.replace('.123456', '.9')]), 1000, 0, 30],
  ['nothing', [], 1000, 0, 9],
])('all samples are read, in few requests: %s', async (_, due, most, failing, requests) => {
  stored(due, most, failing)
  expect(timesOf(await read().all())).toBe(has.at.join())
  expect(asked).toBeLessThanOrEqual(requests)
})

const without = (due: string[], ...missing: [number, number][]) =>
  due.filter((_, k) => !missing.some(([first, last]) => k >= first && k <= last))
test.each<[string, [number, number][], [number, number][], number, number]>([
  ['an hour', [[4000, 4359]], [], 1, 2],
  ['a third of the day', [[1000, 3999]], [], 1, 4],
  [
    'two stretches',
    [
      [10, 19],
      [5000, 5099],
    ],
    [],
    1,
    3,
  ],
  ['beside one that never comes', [[5000, 5099]], [[10, 10]], 2, 5],
])('samples that come long after others are read: %s', async (_, late, never, looks, requests) => {
  const { all, news } = read()
  stored(without(day, ...late, ...never))
  let known = await all()
  asked = 0
  for (let look = 0; look < 3; look++) known = await news(known) // nothing comes yet
  expect(asked).toBe(6) // at each look one request for what is newest, and one for a stretch
  expect(timesOf(known)).toBe(has.at.join())
  stored(without(day, ...never))
  for (let look = 0; look < looks; look++) known = await news(known)
  expect(timesOf(known)).toBe(has.at.join())
  expect(asked).toBe(requests)
  asked = 0
  await news(known)
  expect(asked).toBe(1 + never.length)
})
