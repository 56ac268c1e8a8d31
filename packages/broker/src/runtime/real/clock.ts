import { uptime } from 'node:os'
import type { Cancel, Clock } from '../runtime.ts'

/** Longer delays overflow the timers of Node, which then fire at once. */
const delayMsMax = 0x7fff_ffff

/**
 * A timer this late means that the process stood still: it was suspended, or had no processor. What peers have sent meanwhile is
 * read first, so that nobody is taken for silent whose bytes are there.
 */
const lateMs = 20

/** Timers do not keep the process alive. */
export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  // Time since the machine was started counts what it was suspended for.
  suspendedMs: () => uptime() * 1000 - performance.now(),
  after,
  soon: run => void setImmediate(run),
}

function after(delayMs: number, run: () => void): Cancel {
  if (delayMs > delayMsMax) return afterLong(delayMs, run)
  const lateAtMs = performance.now() + delayMs + lateMs
  let afterInput: NodeJS.Immediate | undefined
  const timer = setTimeout(() => {
    if (performance.now() < lateAtMs) run()
    else afterInput = setImmediate(run)
  }, delayMs).unref()
  return () => {
    clearTimeout(timer)
    clearImmediate(afterInput)
  }
}

function afterLong(delayMs: number, run: () => void): Cancel {
  let cancel: Cancel = after(delayMsMax, () => {
    cancel = after(delayMs - delayMsMax, run)
  })
  return () => cancel()
}
