import type { Broker } from '../core/broker.ts'

/** What the sessions of a protocol have in common, made on first use and kept as long as their broker. `more` is for the first use alone. */
export function perBroker<T, W extends readonly unknown[] = []>(
  make: (broker: Broker, ...more: W) => T,
): (broker: Broker, ...more: W) => T {
  const made = new WeakMap<Broker, T>()
  return (broker, ...more) => {
    const known = made.get(broker)
    if (known !== undefined) return known
    const fresh = make(broker, ...more)
    made.set(broker, fresh)
    return fresh
  }
}
