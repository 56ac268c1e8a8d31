import assert from 'node:assert/strict'
import { keptCopy, type Infer, type Reader, type Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import {
  checkVersion,
  ended,
  entered,
  factVersion,
  left,
  numbered,
  readFact,
  saved,
  sessionFacts,
  subscribed,
  unsubscribed,
  willSettled,
} from './facts.ts'

/** A message that is published when a client is lost. Immutable. */
export type Will = Infer<typeof entered>['wills'][number]

/** What is known of a client that may come back. */
export interface SessionState {
  readonly id: number
  readonly namespace: string
  /** What the client calls itself. Unique within its namespace. */
  readonly name: string
  readonly owner: string
  /** Name of the queue where messages lie that wait for the client. It need not be there. */
  readonly queue: string
  readonly expiryMs: number
  /** When the client went, in milliseconds since 1970; -1: it is there, or was when the broker stopped. */
  readonly leftMs: number
  readonly will: Will | undefined
  /** By filter: bytes of the protocol that made it. */
  readonly subscriptions: ReadonlyMap<string, Buffer>
  /** Numbers of messages that were taken from the client and that it may send again. */
  readonly received: ReadonlySet<number>
  /** Numbers of messages that the client has taken and not been told about for good, oldest first. */
  readonly taken: ReadonlySet<number>
}

class State implements SessionState {
  readonly id: number
  readonly namespace: string
  readonly name: string
  owner = ''
  queue = ''
  expiryMs = 0
  leftMs = -1
  will: Will | undefined
  readonly subscriptions = new Map<string, Buffer>()
  readonly received = new Set<number>()
  readonly taken = new Set<number>()

  constructor({ id, namespace, name }: Infer<typeof entered>) {
    this.id = id
    this.namespace = namespace
    this.name = name
  }

  enter({ owner, queue, expiryMs, wills }: Infer<typeof entered>): void {
    this.owner = owner
    this.queue = queue
    this.expiryMs = expiryMs
    this.will = wills[0] && ownBytes(wills[0])
    this.leftMs = -1
  }
}

/** Which clients have sessions that outlive their connections. Invariant: a session is found by its id exactly when it is by its name. */
export class SessionsMachine implements Machine {
  #nextId = 1
  readonly #byId = new Map<number, State>()
  readonly #byName = new Map<string, Map<string, State>>()

  get nextId(): number {
    return this.#nextId
  }

  get count(): number {
    return this.#byId.size
  }

  get(namespace: string, name: string): SessionState | undefined {
    return this.#byName.get(namespace)?.get(name)
  }

  byId(id: number): SessionState | undefined {
    return this.#byId.get(id)
  }

  /** Of one namespace, or of all. */
  list(namespace?: string): SessionState[] {
    return [
      ...(namespace === undefined ? this.#byId : (this.#byName.get(namespace) ?? new Map<string, State>())).values(),
    ]
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case sessionFacts.entered:
        return this.#enter(readFact(entered, payload))
      case sessionFacts.left: {
        const { id, atMs, expiryMs, keepsWill } = readFact(left, payload)
        const state = this.#of(id)
        state.leftMs = atMs
        state.expiryMs = expiryMs
        if (!keepsWill) state.will = undefined
        return
      }
      case sessionFacts.ended:
        return this.#end(readFact(ended, payload).id)
      case sessionFacts.subscribed: {
        const { id, filter, options } = readFact(subscribed, payload)
        this.#of(id).subscriptions.set(filter, keptCopy(options))
        return
      }
      case sessionFacts.unsubscribed: {
        const { id, filter } = readFact(unsubscribed, payload)
        this.#of(id).subscriptions.delete(filter)
        return
      }
      case sessionFacts.willSettled:
        this.#of(readFact(willSettled, payload).id).will = undefined
        return
      default:
        return this.#applyNumber(type, payload)
    }
  }

  #applyNumber(type: number, payload: Buffer): void {
    const { id, number } = readFact(numbered, payload)
    const state = this.#of(id)
    switch (type) {
      case sessionFacts.received:
        return void state.received.add(number)
      case sessionFacts.forgotten:
        return void state.received.delete(number)
      case sessionFacts.taken:
        return void state.taken.add(number)
      case sessionFacts.completed:
        return void state.taken.delete(number)
      default:
        throw new Error(`Sessions have no fact of type ${type}`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.uvarint(this.#nextId)
    out.u32(this.#byId.size)
    for (const state of this.#byId.values()) {
      const { id, namespace, name, owner, queue, expiryMs, will, leftMs, subscriptions, received, taken } = state
      saved.write(out, {
        entered: { id, namespace, name, owner, queue, expiryMs, wills: will ? [will] : [] },
        leftMs,
        subscriptions: Array.from(subscriptions, ([filter, options]) => ({ filter, options })),
        received: bytesOf(received),
        taken: bytesOf(taken),
      })
    }
  }

  load(from: Reader): void {
    checkVersion(from.u8())
    this.#nextId = from.uvarint()
    for (let count = from.u32(); count > 0; count--) {
      const { entered: fact, leftMs, subscriptions, received, taken } = saved.read(from)
      this.#enter(fact)
      const state = this.#of(fact.id)
      state.leftMs = leftMs
      for (const { filter, options } of subscriptions) state.subscriptions.set(filter, keptCopy(options))
      for (const number of numbersOf(received)) state.received.add(number)
      for (const number of numbersOf(taken)) state.taken.add(number)
    }
  }

  #of(id: number): State {
    const state = this.#byId.get(id)
    assert(state, `there is no session ${id}`)
    return state
  }

  #enter(fact: Infer<typeof entered>): void {
    const { id, namespace, name } = fact
    let state = this.#byId.get(id)
    if (!state) {
      state = new State(fact)
      this.#byId.set(id, state)
      let names = this.#byName.get(namespace)
      if (!names) this.#byName.set(namespace, (names = new Map()))
      assert(!names.has(name), `session ${name} cannot be there already`)
      names.set(name, state)
      this.#nextId = Math.max(this.#nextId, id + 1)
    }
    state.enter(fact)
  }

  #end(id: number): void {
    const { namespace, name } = this.#of(id)
    this.#byId.delete(id)
    const names = this.#byName.get(namespace)
    names?.delete(name)
    if (names?.size === 0) this.#byName.delete(namespace)
  }
}

function bytesOf(numbers: ReadonlySet<number>): Buffer | null {
  if (numbers.size === 0) return null
  const bytes = Buffer.alloc(2 * numbers.size)
  let at = 0
  for (const number of numbers) at = bytes.writeUInt16BE(number, at)
  return bytes
}

const numbersOf = (bytes: Buffer | null): number[] =>
  Array.from({ length: (bytes?.length ?? 0) / 2 }, (_, index) => bytes?.readUInt16BE(2 * index) ?? 0)

/** What is read of a fact lies in the journal's bytes. */
function ownBytes(will: Will): Will {
  const headers = will.headers.map(({ name, value }) => ({ name, value: keptCopy(value) }))
  return { ...will, value: keptCopy(will.value), headers }
}
