import { homeNamespace as namespace } from '../../packages/broker/src/core/broker.ts'
import type { Header } from '../../packages/broker/src/core/message.ts'
import type { Policy } from '../../packages/broker/src/core/policies/machine.ts'
import { CorePort } from './core-port.ts'
import type { Outcome } from './queue-port.ts'
import type { Shared } from './workload.ts'

/** As policies say them. */
export type Limits = Readonly<Record<string, string | number>>

/** Whole numbers are those of 64 bits. */
export const definitionOf = (limits: Limits): Header[] =>
  Object.entries(limits).map(([name, value]) => ({ name, value: typeof value === 'number' ? BigInt(value) : value }))

/** In an order of its own. */
const textOf = (definition: readonly Header[]): string =>
  definition
    .map(({ name, value }) => `${name}=${String(value)}`)
    .toSorted()
    .join()

const none = 'no policy'

/**
 * The policy of one queue, which is changed, removed and made again while the queue is used. Where dropped messages go stays the same.
 *
 * Holds: what was answered last is what the policy says, over crashes, or what was asked for since.
 */
export class GovernedQueue {
  readonly #shared: Shared
  readonly #port: CorePort
  readonly #queue: string
  readonly #limits: Limits
  #possible = [none]

  constructor(shared: Shared, queue: string, limits: Limits) {
    this.#shared = shared
    this.#port = new CorePort(shared)
    this.#queue = queue
    this.#limits = limits
  }

  get #name(): string {
    return `of-${this.#queue}`
  }

  set(limits = this.#limits): Promise<Outcome> {
    const definition = definitionOf(limits)
    const about = { rank: 'user', target: 'queues', priority: 0 } as const
    const policy: Policy = { ...about, namespace, name: this.#name, pattern: `^${this.#queue}$`, definition }
    return this.#change(textOf(definition), () => this.#port.asking(core => core.policies.set(policy)))
  }

  #remove(): Promise<Outcome> {
    return this.#change(none, () => this.#port.asking(core => core.policies.remove('user', namespace, this.#name)))
  }

  async #change(to: string, ask: () => Promise<Outcome>): Promise<Outcome> {
    this.#possible.push(to)
    const outcome = await ask()
    if (outcome === 'done') this.#possible = [to]
    this.#shared.operations++
    return outcome
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    if ('dead-letter-exchange' in this.#limits) return
    while (!this.#shared.isEnding) {
      await simulator.sleep(random.float() * 1_000)
      const entries = Object.entries(this.#limits).map(([name, value]) => {
        return [name, typeof value === 'number' ? 1 + random.below(2 * value + 1) : value] as const
      })
      if (random.chance(0.3)) await this.#remove()
      else await this.set(Object.fromEntries(entries))
    }
  }

  async check(): Promise<void> {
    const found = await this.#port.inside<string>((core, done) => {
      const policy = core.policies.get('user', namespace, this.#name)
      done(policy ? textOf(policy.definition) : none)
    })
    if (found === undefined || this.#possible.includes(found)) return
    this.#shared.simulator.fail(`the policy of ${this.#queue} says ${found}, not ${this.#possible.join(' or ')}`)
  }
}
