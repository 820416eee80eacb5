/** By how much the clock of the database is ahead of the browser's, in milliseconds; 0 as long as they agree to a few seconds. */
let ahead = 0

/** What clocks may differ by before the browser's is not believed: the header Date has whole seconds, and an answer takes a while. */
const tolerated = 3000

/** The time in milliseconds since 1970, as the database has it: samples carry its operator's time, and a browser's clock may be minutes off. */
export const serverNow = (): number => Date.now() + ahead

/** Asks, and compares the clocks by the answer. */
export const askAndCompare: typeof fetch = async (...request) => {
  const sent = Date.now()
  const answer = await fetch(...request)
  compare(answer.headers.get('date'), sent, Date.now())
  return answer
}

/** Takes the date of an answer to a request that was sent and answered at these times of the browser. */
export function compare(date: string | null, sent: number, answered: number): void {
  const at = Date.parse(date ?? '')
  if (Number.isNaN(at)) return
  const difference = at + 500 - (sent + answered) / 2
  ahead = Math.abs(difference) > tolerated + (answered - sent) / 2 ? difference : 0
}
