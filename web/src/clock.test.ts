import { expect, test } from 'vitest'
import { compare, serverNow } from './clock'

const base = Date.parse('2026-11-29T08:00:00Z')

test.each([
  ['the same', 'Sun, 29 Nov 2026 08:00:00 GMT', base, base + 100, 0],
  ['a little apart', 'Sun, 29 Nov 2026 08:00:02 GMT', base, base + 100, 0],
  ['an answer that took long', 'Sun, 29 Nov 2026 08:00:05 GMT', base, base + 8000, 0],
  ['a browser that is five minutes behind', 'Sun, 29 Nov 2026 08:05:00 GMT', base, base + 200, 300_400],
  ['a browser that is an hour ahead', 'Sun, 29 Nov 2026 07:00:00 GMT', base, base, -3_599_500],
  ['no date, after that', null, base, base, -3_599_500],
  ['put right', 'Sun, 29 Nov 2026 08:00:00 GMT', base, base, 0],
])('%s', (_, date, sent, answered, ahead) => {
  compare(date, sent, answered)
  expect(serverNow() - Date.now()).toBeCloseTo(ahead, -2)
})
