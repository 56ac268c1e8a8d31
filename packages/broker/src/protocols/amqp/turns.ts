import { Turns } from '../../core/turns.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { perBroker } from '../per-broker.ts'

/** So many of those who wait go on in one turn of the process. */
const servedPerTurn = 4

/** Channels that have done much in one turn wait here, those of all connections: what others ask of the broker is not held up by all of them together. */
export const turnsOf = perBroker((_broker, clock: Clock) => new Turns(clock, servedPerTurn))
