import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createClient } from '@supabase/supabase-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { instantOf, type Job } from '../job'
import { loadAll } from './outcomes'

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
test.each<[string, string[], number, number, number]>([
  ['a database that cuts off sooner', day, 300, 0, 40], // first: what a project cuts off at is remembered
  ['a request for each thousand', day, 1000, 0, 10],
  ['requests that fail', day, 1000, 2, 12],
  ['old samples of a job that was started anew', [text(start - 86_400_000), ...day], 1000, 0, 11],
  ['samples off the grid', day.flatMap((due) => [due, due.replace('.123456', '.9')]), 1000, 0, 30],
  ['nothing', [], 1000, 0, 9],
])('all samples are read, in few requests: %s', async (_, due, most, failing, requests) => {
  Object.assign(has, { due, at: due.map(instantOf), most, failing })
  asked = 0
  const db = createClient(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, 'key')
  const job = { id: 'x', started_at: text(start), cadence_seconds: 10, duration_minutes: 1440 } as Job
  const { samples } = await loadAll(db, job, new AbortController().signal, () => {})
  expect(samples.map((s) => s.at).join()).toBe(has.at.join())
  expect(asked).toBeLessThanOrEqual(requests)
})
