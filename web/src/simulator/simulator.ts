import { dueOf, type Grid } from '../schedule'
import type { Outcome } from '../statistics/outcomes'

/** What the simulator makes up for a slot. */
export interface Simulated {
  /** The slot's number, and when it was due, in milliseconds since 1970. */
  slot: number
  at: number
  status: Outcome
  /** In milliseconds. */
  rtt: number | null
  jitter: number | null
}

/**
 * Makes up the sample of a slot. The same job and slot always give the same: a page that is loaded anew, or a second one, goes on where
 * the first was, and writes nothing twice.
 */
export function sampleOf(id: string, grid: Grid, slot: number): Simulated {
  const rtt = rttOf(id, slot)
  const status = statusOf(id, slot)
  if (status !== 'success') return { slot, at: dueOf(grid, slot), status, rtt: null, jitter: null }
  const before = previousSuccess(id, slot)
  const jitter = before === null ? null : round(Math.abs(rtt - rttOf(id, before)))
  return { slot, at: dueOf(grid, slot), status, rtt, jitter }
}

/** How many slots in a row are away together when a modem drops out, and how likely a stretch is to be one of those. */
const stretch = 12
const dropShare = 0.004
const lossShare = 0.004
const errorShare = 0.001
const spikeShare = 0.01

function statusOf(id: string, slot: number): Outcome {
  if (random(id, 'drop', Math.floor(slot / stretch)) < dropShare) return 'missed'
  const luck = random(id, 'status', slot)
  if (luck < lossShare) return 'missed'
  return luck < lossShare + errorShare ? 'system_error' : 'success'
}

/** A round-trip time as of a cable modem: a base of its own, slow waves as of the evening's load, a skewed rest, and rare spikes. */
function rttOf(id: string, slot: number): number {
  const base = 9 + 14 * random(id, 'base', 0)
  const wave = 2.5 * Math.sin(slot / 97 + 6.28 * random(id, 'phase', 0)) + 1.2 * Math.sin(slot / 13.7)
  const rest = Math.exp(0.6 * normal(id, slot)) * 1.6
  const spike = random(id, 'spike', slot) < spikeShare ? 15 + 120 * random(id, 'height', slot) ** 3 : 0
  return round(Math.max(2, base + wave + rest + spike))
}

/** The last slot before that was answered, as the operator's jitter has it; null without one. */
function previousSuccess(id: string, slot: number): number | null {
  for (let k = slot - 1; k >= 0; k--) {
    if (statusOf(id, k) === 'success') return k
  }
  return null
}

const round = (ms: number): number => Math.round(ms * 1000) / 1000

/** A value of the normal distribution (Box and Muller). */
function normal(id: string, slot: number): number {
  const u = 1 - random(id, 'u', slot)
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * random(id, 'v', slot))
}

/** A number from 0 to less than 1 that depends on nothing but what it is asked for: FNV-1a, then the finalizer of MurmurHash3. */
export function random(id: string, what: string, n: number): number {
  let h = 0x811c9dc5
  for (const text of [id, what, String(n)]) {
    for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
    h = Math.imul(h ^ 0xff, 0x01000193)
  }
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 4_294_967_296
}
