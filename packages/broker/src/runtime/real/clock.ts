import type { Cancel, Clock } from '../runtime.ts'

/** Longer delays overflow the timers of Node, which then fire at once. */
const delayMsMax = 0x7fff_ffff

/** Timers do not keep the process alive. */
export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after,
  soon: run => void setImmediate(run),
}

function after(delayMs: number, run: () => void): Cancel {
  if (delayMs > delayMsMax) return afterLong(delayMs, run)
  const timer = setTimeout(run, delayMs).unref()
  return () => clearTimeout(timer)
}

function afterLong(delayMs: number, run: () => void): Cancel {
  let cancel: Cancel = after(delayMsMax, () => {
    cancel = after(delayMs - delayMsMax, run)
  })
  return () => cancel()
}
