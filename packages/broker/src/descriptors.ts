import type { Log } from './admin/log.ts'
import type { Settings } from './options/table.ts'
import type { Runtime } from './runtime/runtime.ts'
import { StartError } from './start-error.ts'

/** Kept for what is no connection: journal, segments that are written and read, directories that are synced, listeners, code that is loaded late. */
const keptFor = 160
/** With less than this it does not get through its start. */
const neededMin = 64
/** However few there are, so many clients are let in. */
const connectionsMin = 16

/** Rejects with `StartError` when there are too few for the broker itself. */
export async function checkDescriptors({ descriptors }: Pick<Runtime, 'descriptors'>): Promise<void> {
  const found = await descriptors?.()
  if (found === undefined || found.max - found.open >= neededMin) return
  const few = `This process may have only ${found.max} files and connections, of which ${found.open} are open`
  throw new StartError(`${few}; the broker takes ${neededMin} more, and one for each connection ("ulimit -n")`)
}

/**
 * How many connections can be open without taking away the descriptors that the data needs: a client more is turned away, and the others
 * go on. Infinity where it cannot be known.
 */
export async function connectionCeiling(
  { descriptors }: Pick<Runtime, 'descriptors'>,
  { connectionsMax, tlsHandshakesMax }: Pick<Settings, 'connectionsMax' | 'tlsHandshakesMax'>,
  hasTls: boolean,
  log: Log,
): Promise<number> {
  const found = await descriptors?.()
  if (found === undefined) return Infinity
  // Who has not ended the handshake is no connection yet.
  const handshakes = hasTls ? Math.min(tlsHandshakesMax, Math.floor(found.max / 2)) : 0
  const connections = Math.max(connectionsMin, found.max - found.open - keptFor - handshakes)
  if (connections < connectionsMax) {
    const words = 'Fewer connections than connections-max can be open, for want of file descriptors ("ulimit -n")'
    log('warn', words, { connections, connectionsMax, descriptors: found.max })
  }
  return connections
}
