import type { Log } from './admin/log.ts'
import type { Runtime } from './runtime/runtime.ts'
import { SteadyClock, type ClockEvent } from './runtime/steady-clock.ts'

/** The clock of a broker, which tells an operator what happens to that of the machine. */
export function clockOf({ clock }: Runtime, patienceMs: number, log: Log): SteadyClock {
  const tell = ({ kind, aheadMs }: ClockEvent): void => log('warn', words[kind], { aheadMs, patienceMs })
  return new SteadyClock(clock, { patienceMs, tell })
}

const words: Record<ClockEvent['kind'], string> = {
  set: "The machine's clock was set; the broker follows it when it stays so",
  'set-back-again': "The machine's clock was set to what it had been before; the broker has not followed it",
  followed: "The broker now follows the machine's clock, which was set",
  'behind-data': "The machine's clock is behind the data; the broker follows it when it stays so",
}
