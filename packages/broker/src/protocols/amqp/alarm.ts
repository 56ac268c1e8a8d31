import type { SessionContext } from '../protocol.ts'
import type { Frame } from './framing.ts'

/** While it is on, it is looked so often whether it is over. */
const lookMs = 100

export interface AlarmHost {
  isFull(): boolean
  readonly clock: SessionContext['clock']
  /** It is on, or over; with `false`, what was held has been taken. */
  changed(isOn: boolean): void
  take(frame: Frame): void
}

/**
 * Holds back a connection that publishes while the disk is full: what it sends is not taken, and soon not read, until there is room. Those that only
 * consume go on and make room.
 *
 * Invariant: `#held` is empty unless it is on.
 */
export class Alarm {
  readonly #host: AlarmHost
  #isOn = false
  #held: Frame[] = []
  #cancel: (() => void) | undefined

  constructor(host: AlarmHost) {
    this.#host = host
  }

  get isOn(): boolean {
    return this.#isOn
  }

  /** Keeps the frame for later; the first one turns the alarm on. */
  hold(frame: Frame): void {
    this.#held.push({ ...frame, payload: Buffer.from(frame.payload) })
    if (this.#isOn) return
    this.#isOn = true
    this.#wait()
    this.#host.changed(true)
  }

  /** What is held is forgotten. */
  stop(): void {
    this.#cancel?.()
    this.#held = []
    this.#isOn = false
  }

  #wait(): void {
    this.#cancel = this.#host.clock.after(lookMs, () => this.#look())
  }

  #look(): void {
    if (this.#host.isFull()) return this.#wait()
    this.#isOn = false
    const held = this.#held
    this.#held = []
    this.#host.changed(false)
    // The disk may fill up again on the way: then they are held again, in the same order.
    for (const frame of held) {
      if (this.#isOn) this.#held.push(frame)
      else this.#host.take(frame)
    }
  }
}
