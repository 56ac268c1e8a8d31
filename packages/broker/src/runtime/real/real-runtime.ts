import type { Runtime } from '../runtime.ts'
import { realClock } from './clock.ts'
import { descriptorsOfProcess } from './descriptors.ts'
import { RealDisk } from './disk.ts'
import { RealNetwork } from './network.ts'
import { SystemRandom } from './random.ts'

export interface RealRuntimeOptions {
  /** What cannot be survived comes here. By default it is printed and the process exits with `fatalExitCode`. */
  onFatal?: (error: Error) => void
}

/** Exit code of a process that stopped because going on could lose or forge data. */
export const fatalExitCode = 3

/**
 * The outside world as Node gives it. Holds no handle of its own: only listeners, connections and operations in flight keep
 * the process alive.
 */
export function realRuntime(options: RealRuntimeOptions = {}): Runtime {
  return {
    clock: realClock,
    random: new SystemRandom(),
    disk: new RealDisk(),
    network: new RealNetwork(),
    descriptors: descriptorsOfProcess,
    fatal: options.onFatal ?? exitOnFatal,
  }
}

function exitOnFatal(error: Error): void {
  process.stderr.write(`fatal: ${error.stack ?? error.message}\n`)
  process.exit(fatalExitCode)
}
