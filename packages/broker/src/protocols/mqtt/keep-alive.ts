import type { Clock } from '../../runtime/runtime.ts'
import type { Outbox } from '../protocol.ts'

/** It is looked so often within the time that a client may be silent. */
const looks = 4
/** A client is given half as long again as it has promised. [MQTT 5.0, 3.1.2.10] */
const grace = 1.5

/** Ends a connection whose client is silent for too long. */
export class KeepAlive {
  /** Something has come since it was looked last. */
  heard = true
  #silent = 0
  #cancel: () => void = () => {}

  constructor(clock: Clock, outbox: Outbox, seconds: number, over: () => void) {
    const everyMs = (seconds * 1000 * grace) / looks
    const look = (): void => {
      // Silence says nothing when nobody listens.
      this.#silent = this.heard || !outbox.isReading ? 0 : this.#silent + 1
      this.heard = false
      if (this.#silent >= looks) over()
      else this.#cancel = clock.after(everyMs, look)
    }
    this.#cancel = clock.after(everyMs, look)
  }

  stop(): void {
    this.#cancel()
  }
}
