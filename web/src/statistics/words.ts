/** A share with what it is of: 12 of 3600 polls (0.33%). */
export const of = (part: number, whole: number, what: string): string =>
  `${part} of ${whole} ${what} (${percent(part, whole)})`

/** A share, rounded halves up to hundredths of a percent. A dash of nothing. */
export function percent(part: number, whole: number): string {
  if (whole === 0) return '–'
  const hundredths = Math.floor((20_000 * part + whole) / (2 * whole))
  return `${Math.floor(hundredths / 100)}.${String(hundredths % 100).padStart(2, '0')}%`
}

/** A time in milliseconds for people, in whole seconds: 2h5m, 40s. */
export function duration(ms: number): string {
  let seconds = Math.round(ms / 1000)
  let text = ''
  for (const [length, name] of [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'm'],
    [1, 's'],
  ] as const) {
    const n = Math.floor(seconds / length)
    if (n > 0) text += `${n}${name}`
    seconds -= n * length
  }
  return text || '0s'
}

/** A number of things: 1 slot, 2 slots. */
export const counted = (n: number, what: string): string => `${n} ${what}${n === 1 ? '' : 's'}`

/** A value in milliseconds with three digits that matter: 0.42 ms, 12.3 ms, 135 ms. */
export function ms(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  const digits = value < 1 ? 2 : value < 100 ? 1 : 0
  return `${value.toFixed(digits)} ms`
}
