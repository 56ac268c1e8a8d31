import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { QueueMessage } from '../queues/message.ts'
import type { Queues } from '../queues/queues.ts'
import { atomically } from '../refusals.ts'
import type { Retained } from '../retained/retained.ts'
import type { Router } from '../routing/router.ts'
import type { TimerId, TimerWheel } from '../timers/wheel.ts'
import { ended, entered, factOf, left, numbered, sessionFacts, subscribed, unsubscribed, willSettled } from './facts.ts'
import { SessionsMachine, type SessionState, type Will } from './machine.ts'

export type { SessionState, Will } from './machine.ts'

export interface SessionsOptions {
  ledger: Ledger
  wheel: TimerWheel
  queues: Queues
  router: Router
  retained: Retained
  limits: Pick<Limits, 'sessionsMax'>
}

export interface EnterOptions {
  owner: string
  /** Name of the queue where messages are to lie that wait for the client. Whoever needs it makes it. */
  queue: string
  /** -1: for ever. */
  expiryMs: number
  will: Will | undefined
}

/** Timers of one session that nobody is connected to. */
interface Waiting {
  expiry: TimerId
  will: TimerId
}

const none = -1
const waitMsMax = 24 * 3_600_000
/** What a full disk has prevented is tried again after this. */
const retryMs = 5000

/**
 * Sessions that outlive the connections of their clients: what they subscribe to, which numbers of messages are in use between them and us, and
 * what is to be published when they are lost. Messages that wait for them lie in queues.
 *
 * All methods decide at once, and tell the block that makes it durable; they throw `BrokerError`.
 */
export class Sessions {
  /** Is told of sessions that have ended. */
  ended: ((state: SessionState) => void) | undefined
  readonly #options: SessionsOptions
  readonly #machine: SessionsMachine
  readonly #waiting = new Map<number, Waiting>()
  readonly #expiryTarget = { due: (id: number): void => this.#attempt(id, () => this.#expiryDue(id)) }
  readonly #retryTarget = { due: (id: number): void => this.#attempt(id, () => this.#retry(id)) }
  readonly #willTarget = { due: (id: number): void => this.#attempt(id, () => this.#willDue(id)) }

  /** Over a cell that has been recovered. */
  constructor(options: SessionsOptions) {
    const machine = options.ledger.machine(machineKinds.sessions)
    assert(machine instanceof SessionsMachine)
    this.#options = options
    this.#machine = machine
  }

  /** Whoever was connected when the broker stopped has been lost. */
  resume(): void {
    for (const state of this.#machine.list()) {
      this.#attempt(state.id, () => {
        if (state.leftMs < 0) this.leave(state, { expiryMs: state.expiryMs, isLost: true })
        else this.#wait(state)
      })
    }
  }

  get count(): number {
    return this.#machine.count
  }

  get(namespace: string, name: string): SessionState | undefined {
    return this.#machine.get(namespace, name)
  }

  list(namespace?: string): SessionState[] {
    return this.#machine.list(namespace)
  }

  /** The client is there. Makes its session, unless there is one. */
  enter(namespace: string, name: string, { will, ...rest }: EnterOptions): SessionState {
    const machine = this.#machine
    const present = machine.get(namespace, name)
    const { sessionsMax } = this.#options.limits
    if (!present && machine.count >= sessionsMax) {
      throw new BrokerError('limit-reached', `there are ${sessionsMax} sessions, which is the most allowed`)
    }
    if (present) this.#stopWaiting(present.id)
    const id = present?.id ?? machine.nextId
    this.#write(sessionFacts.entered, entered, { ...rest, id, namespace, name, wills: will ? [will] : [] })
    const state = machine.byId(id)
    assert(state)
    return state
  }

  /** The client is gone: lost, when its will is to be published in time. */
  leave(state: SessionState, { expiryMs, isLost }: { expiryMs: number; isLost: boolean }): void {
    const atMs = this.#options.ledger.clock.nowMs()
    // On a full disk it is still gone.
    this.#stopWaiting(state.id)
    this.#write(sessionFacts.left, left, { id: state.id, atMs, expiryMs, keepsWill: isLost })
    if (expiryMs === 0) this.end(state)
    else this.#wait(state)
  }

  /** The session is over: what waits for the client goes, and its will is published, if it still has one. */
  end(state: SessionState): number {
    const { id, namespace, queue } = state
    this.#stopWaiting(id)
    const seq = atomically(this.#options.ledger, () => {
      this.#publishWill(state)
      this.#write(sessionFacts.ended, ended, { id })
    })
    this.#removeQueue(namespace, queue)
    this.ended?.(state)
    return seq
  }

  subscribe({ id }: SessionState, filter: string, options: Buffer): number {
    return this.#write(sessionFacts.subscribed, subscribed, { id, filter, options })
  }
  unsubscribe({ id }: SessionState, filter: string): number {
    return this.#write(sessionFacts.unsubscribed, unsubscribed, { id, filter })
  }
  /** The message of this number was taken from the client. */
  received({ id }: SessionState, number: number): number {
    return this.#write(sessionFacts.received, numbered, { id, number })
  }
  /** The client does not send that message again. */
  forget({ id }: SessionState, number: number): number {
    return this.#write(sessionFacts.forgotten, numbered, { id, number })
  }
  /** The client has taken the message of this number. */
  taken({ id }: SessionState, number: number): number {
    return this.#write(sessionFacts.taken, numbered, { id, number })
  }
  /** The client knows that we know. */
  completed({ id }: SessionState, number: number): number {
    return this.#write(sessionFacts.completed, numbered, { id, number })
  }

  /** Calls `run` when all that was decided until now is durable; at once if it is. */
  whenSettled(run: () => void): void {
    const { ledger } = this.#options
    ledger.whenDurable(ledger.lastSeq, run, undefined)
  }

  /** Publishes a will, wherever it is kept. */
  #publish(namespace: string, will: Will): void {
    const { router, retained, ledger } = this.#options
    const { exchange, key, value, headers, isTransient, isRetained, ttlMs } = will
    const message: QueueMessage = {
      key: Buffer.from(key),
      value,
      headers: headers.map(header => ({ key: header.name, value: header.value })),
      isTransient,
      expiresMs: ttlMs < 0 ? -1 : ledger.clock.nowMs() + ttlMs,
    }
    if (isRetained && value.length === 0) retained.remove(namespace, key)
    else if (isRetained) retained.keep(namespace, key, message)
    router.post({ namespace, exchange, key, message })
  }

  /** Removes some of a namespace that is gone; whether there were any. */
  removeSome(namespace: string): boolean {
    const [...some] = this.#machine.list(namespace).slice(0, 256)
    for (const state of some) this.end(state)
    return some.length > 0
  }

  close(): void {
    for (const id of this.#waiting.keys()) this.#stopWaiting(id)
  }

  #wait(state: SessionState): void {
    const { id, leftMs, expiryMs, will } = state
    const { wheel, ledger } = this.#options
    this.#stopWaiting(id)
    const { clock } = ledger
    const at = (sinceLeftMs: number): number =>
      clock.monotonicMs() + Math.min(waitMsMax, Math.max(0, leftMs + sinceLeftMs - clock.nowMs()))
    const delayMs = expiryMs < 0 ? (will?.delayMs ?? 0) : Math.min(expiryMs, will?.delayMs ?? 0)
    if (will && delayMs === 0) this.#publishWill(state)
    const isDelayed = will !== undefined && delayMs > 0
    if (!isDelayed && expiryMs < 0) return
    this.#waiting.set(id, {
      will: isDelayed ? wheel.at(at(delayMs), this.#willTarget, id) : none,
      expiry: expiryMs < 0 ? none : wheel.at(at(expiryMs), this.#expiryTarget, id),
    })
  }

  #stopWaiting(id: number): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    this.#options.wheel.cancel(waiting.expiry)
    this.#options.wheel.cancel(waiting.will)
  }

  /** What nobody calls who could be told: on a full disk it is tried again, and when the broker stops, after its next start. */
  #attempt(id: number, run: () => void): void {
    try {
      run()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      if (error.code === 'shutting-down') return
      const { wheel, ledger } = this.#options
      this.#stopWaiting(id)
      const expiry = wheel.at(ledger.clock.monotonicMs() + retryMs, this.#retryTarget, id)
      this.#waiting.set(id, { expiry, will: none })
    }
  }

  #retry(id: number): void {
    const state = this.#machine.byId(id)
    if (!state) return
    if (state.leftMs < 0) this.leave(state, { expiryMs: state.expiryMs, isLost: true })
    else this.#wait(state)
  }

  #expiryDue(id: number): void {
    const state = this.#machine.byId(id)
    if (!state || state.leftMs < 0 || state.expiryMs < 0) return
    if (state.leftMs + state.expiryMs > this.#options.ledger.clock.nowMs()) this.#wait(state)
    else this.end(state)
  }

  #willDue(id: number): void {
    const state = this.#machine.byId(id)
    if (!state?.will || state.leftMs < 0) return
    if (state.leftMs + state.will.delayMs > this.#options.ledger.clock.nowMs()) this.#wait(state)
    else this.#publishWill(state)
  }

  #publishWill({ id, namespace, will }: SessionState): void {
    if (!will) return
    atomically(this.#options.ledger, () => {
      this.#publish(namespace, will)
      this.#write(sessionFacts.willSettled, willSettled, { id })
    })
  }

  #removeQueue(namespace: string, queue: string): void {
    const { queues } = this.#options
    if (queue === '' || !queues.get(namespace, queue)) return
    queues.remove(namespace, queue).catch((error: unknown) => {
      // Somebody else has removed it, or the cell has ended: the next start finds no session for it.
      if (!(error instanceof BrokerError)) throw error
    })
  }

  #write<T, W>(type: number, codec: Codec<T, W>, value: W): number {
    return atomically(this.#options.ledger, () => {
      this.#options.ledger.fact(machineKinds.sessions, type, factOf(codec, value))
    })
  }
}
