import { perBroker } from '../per-broker.ts'

/** Who has the connection of a client. */
export interface Holder {
  readonly user: string
  /** Another connection of the same client has come: this one ends, and all of it is over when this returns. */
  takenOver(): void
}

/** Which clients are connected: each has one connection. */
export class Registry {
  readonly #holders = new Map<string, Holder>()

  static readonly of = perBroker(() => new Registry())

  get(namespace: string, clientId: string): Holder | undefined {
    return this.#holders.get(keyOf(namespace, clientId))
  }

  set(namespace: string, clientId: string, holder: Holder): void {
    this.#holders.set(keyOf(namespace, clientId), holder)
  }

  delete(namespace: string, clientId: string, holder: Holder): void {
    const key = keyOf(namespace, clientId)
    if (this.#holders.get(key) === holder) this.#holders.delete(key)
  }
}

const keyOf = (namespace: string, clientId: string): string => `${namespace}\0${clientId}`
