/** What code above the runtime must never reach for. */
const globals = ['setTimeout', 'setInterval', 'setImmediate'] as const

/**
 * Makes the clock, the timers and the randomness of the language throw, so that simulated code which goes around the runtime
 * is found by its first call. Returns a function that puts everything back.
 */
export function trapRealWorld(): () => void {
  const restores: (() => void)[] = []
  const replace = <K extends string>(target: Record<K, unknown>, name: K, by: unknown): void => {
    const original = target[name]
    target[name] = by
    restores.push(() => {
      target[name] = original
    })
  }
  const world = globalThis as unknown as Record<string, unknown>
  for (const name of globals) replace(world, name, trap(name))
  replace(Math as unknown as Record<string, unknown>, 'random', trap('Math.random'))
  replace(performance as unknown as Record<string, unknown>, 'now', trap('performance.now'))
  replace(world, 'Date', trappedDate())
  return () => {
    for (const restore of restores.splice(0).reverse()) restore()
  }
}

function trap(name: string): () => never {
  return () => {
    throw new Error(`${name} was used in simulated code: ask the runtime for it`)
  }
}

/** A `Date` that still computes with given times, and does not know the present one. */
function trappedDate(): DateConstructor {
  return new Proxy(Date, {
    get: (target, key, receiver) =>
      key === 'now' ? trap('Date.now') : (Reflect.get(target, key, receiver) as unknown),
    construct: (target, parts: unknown[], newTarget) => {
      if (parts.length === 0) trap('new Date()')()
      return Reflect.construct(target, parts, newTarget) as object
    },
    apply: () => trap('Date()')(),
  })
}
