import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import type { CellClient } from '../../cell/client.ts'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import { BrokerError } from '../errors.ts'
import type { Limits } from '../limits.ts'
import type { QueueMessage } from '../queues/message.ts'
import type { Queues } from '../queues/queues.ts'
import { atomically, storageFull } from '../refusals.ts'
import type { Retained } from '../retained/retained.ts'
import type { Router } from '../routing/router.ts'
import type { TimerId, TimerTarget, TimerWheel } from '../timers/wheel.ts'
import { ended, entered, factOf, left, numbered, sessionFacts, subscribed, unsubscribed, willSettled } from './facts.ts'
import { SessionsMachine, type SessionState, type Will } from './machine.ts'

export type { SessionState, Will } from './machine.ts'

export interface SessionsOptions {
  ledger: Ledger
  cell: Pick<CellClient, 'isFull'>
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

/** Timers of one session that nobody is connected to, and what they are for, by the monotonic clock; Infinity: for nothing. */
interface Waiting {
  expiry: TimerId
  expiryMs: number
  will: TimerId
  willMs: number
}

const none = -1
const waitMsMax = 24 * 3_600_000
/** What a full disk has prevented is tried again after this: the sooner, the less that is newer is published before a will. */
const retryMs = 250
/** So many of these in one turn. */
const retriedPerTurn = 256
/** No client can call itself so. Written to disk: never change. */
const keeperPrefix = '\0will '

/** Whether it is nobody's session, but holds a will back until there is room on the disk. */
export const isKeeper = ({ name }: SessionState): boolean => name.startsWith(keeperPrefix)

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
  /** What could not be done for want of room, in its order: mostly wills that are held back, by their keepers. */
  readonly #refused = new Set<number>()
  #cancelRetry: (() => void) | undefined
  readonly #expiryTarget = { due: (id: number): void => void this.#attempt(id, () => this.#expiryDue(id)) }
  readonly #willTarget = { due: (id: number): void => void this.#attempt(id, () => this.#willDue(id)) }

  /** Over a cell that has been recovered. */
  constructor(options: SessionsOptions) {
    const machine = options.ledger.machine(machineKinds.sessions)
    assert(machine instanceof SessionsMachine)
    this.#options = options
    this.#machine = machine
  }

  /** Whoever was connected when the broker stopped has been lost. */
  resume(): void {
    const all = this.#machine.list()
    for (const state of all) if (isKeeper(state)) this.#refused.add(state.id)
    this.#retryAll()
    for (const state of all) {
      if (isKeeper(state)) continue
      this.#attempt(state.id, () => {
        if (state.leftMs < 0) this.leave(state, { expiryMs: state.expiryMs, isLost: true })
        else this.#left(state)
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
    if (present) {
      // Who comes back too late does not take it back.
      if (this.#isWillDue(present)) this.#publishWill(present)
      this.#stopWaiting(present.id)
    }
    const id = present?.id ?? machine.nextId
    this.#write(sessionFacts.entered, entered, { ...rest, id, namespace, name, wills: will ? [will] : [] })
    const state = machine.byId(id)
    assert(state)
    return state
  }

  /** The client is gone: lost, when its will is to be published in time. */
  leave(state: SessionState, { expiryMs, isLost }: { expiryMs: number; isLost: boolean }): void {
    const atMs = this.#options.ledger.clock.nowMs()
    this.#stopWaiting(state.id)
    this.#write(sessionFacts.left, left, { id: state.id, atMs, expiryMs, keepsWill: isLost })
    // It is gone, also when there is no room for what follows.
    this.#attempt(state.id, () => this.#left(state))
  }

  #left(state: SessionState): void {
    if (state.expiryMs === 0) this.end(state)
    else this.#wait(state)
  }

  /** The session is over: what waits for the client goes, and its will is published, if it still has one. */
  end(state: SessionState): number {
    return this.#end(state, () => this.#publishWill(state))
  }

  #end(state: SessionState, before: () => void): number {
    const { id, namespace, queue } = state
    const seq = atomically(this.#options.ledger, () => {
      before()
      this.#write(sessionFacts.ended, ended, { id })
    })
    this.#stopWaiting(id)
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

  /** Removes some of a namespace that is gone, and with them their wills; whether there were any. */
  removeSome(namespace: string): boolean {
    const some = this.#machine.list(namespace).slice(0, 256)
    for (const state of some) this.#end(state, () => {})
    return some.length > 0
  }

  close(): void {
    this.#cancelRetry?.()
    for (const id of this.#waiting.keys()) this.#stopWaiting(id)
  }

  #wait(state: SessionState): void {
    const { id, leftMs, expiryMs, will } = state
    const { clock } = this.#options.ledger
    this.#stopWaiting(id)
    // Nobody has left in the future: the clock was set back.
    const sinceMs = Math.max(0, clock.nowMs() - leftMs)
    const leftAtMs = clock.monotonicMs() - sinceMs
    const delayMs = expiryMs < 0 ? (will?.delayMs ?? 0) : Math.min(expiryMs, will?.delayMs ?? 0)
    if (will && delayMs === 0) this.#publishWill(state)
    const isDelayed = will !== undefined && delayMs > 0
    if (!isDelayed && expiryMs < 0) return
    const willMs = isDelayed ? leftAtMs + delayMs : Infinity
    const overMs = expiryMs < 0 ? Infinity : leftAtMs + expiryMs
    const timers = { will: this.#at(willMs, this.#willTarget, id), expiry: this.#at(overMs, this.#expiryTarget, id) }
    this.#waiting.set(id, { ...timers, willMs, expiryMs: overMs })
  }

  /** At the latest in a day, which may be too early. */
  #at(dueMs: number, target: TimerTarget, id: number): TimerId {
    if (dueMs === Infinity) return none
    const { wheel, ledger } = this.#options
    return wheel.at(Math.min(dueMs, ledger.clock.monotonicMs() + waitMsMax), target, id)
  }

  #isEarly(dueMs: number): boolean {
    return dueMs > this.#options.ledger.clock.monotonicMs()
  }

  #stopWaiting(id: number): void {
    this.#refused.delete(id)
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    this.#options.wheel.cancel(waiting.expiry)
    this.#options.wheel.cancel(waiting.will)
  }

  /**
   * What nobody calls who could be told: on a full disk it is tried again, and when the broker stops, after its next start. Whether it is done.
   */
  #attempt(id: number, run: () => void): boolean {
    try {
      run()
      return true
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      if (error.code === 'shutting-down') return false
      // A keeper has kept its place.
      if (!this.#refused.has(id)) this.#stopWaiting(id)
      this.#refused.add(id)
      this.#retryLater()
      return false
    }
  }

  #retryLater(): void {
    if (this.#refused.size === 0) return
    this.#cancelRetry ??= this.#options.ledger.clock.after(retryMs, () => {
      this.#cancelRetry = undefined
      this.#retryAll()
    })
  }

  #retryAll(): void {
    let left = retriedPerTurn
    for (const id of this.#refused) if (left-- === 0 || !this.#attempt(id, () => this.#retry(id))) break
    this.#retryLater()
  }

  #retry(id: number): void {
    const state = this.#machine.byId(id)
    if (!state) return void this.#refused.delete(id)
    if (state.leftMs < 0) this.leave(state, { expiryMs: state.expiryMs, isLost: true })
    else this.#left(state)
  }

  #expiryDue(id: number): void {
    const state = this.#machine.byId(id)
    if (!state || state.leftMs < 0 || state.expiryMs < 0) return
    const waiting = this.#waiting.get(id)
    if (waiting && this.#isEarly(waiting.expiryMs)) waiting.expiry = this.#at(waiting.expiryMs, this.#expiryTarget, id)
    else this.end(state)
  }

  #willDue(id: number): void {
    const state = this.#machine.byId(id)
    if (!state?.will || state.leftMs < 0) return
    const waiting = this.#waiting.get(id)
    if (waiting && this.#isEarly(waiting.willMs)) waiting.will = this.#at(waiting.willMs, this.#willTarget, id)
    else this.#publishWill(state)
  }

  /** All that is to become of the will, in one block; held back when the disk has no room for all of it. Throws when it can be neither. */
  #publishWill(state: SessionState): void {
    const { id, namespace, will } = state
    if (!will) return
    const message = this.#messageOf(will)
    if (!this.#hasRoom(namespace, will, message)) return this.#holdBack(state, will)
    atomically(this.#options.ledger, () => {
      this.#post(namespace, will, message)
      this.#write(sessionFacts.willSettled, willSettled, { id })
    })
  }

  #isWillDue({ will, leftMs, expiryMs }: SessionState): boolean {
    if (!will || leftMs < 0) return false
    const delayMs = expiryMs < 0 ? will.delayMs : Math.min(will.delayMs, expiryMs)
    return leftMs + delayMs <= this.#options.ledger.clock.nowMs()
  }

  #messageOf({ key, value, headers, isTransient, ttlMs }: Will): QueueMessage {
    return {
      key: Buffer.from(key),
      value,
      headers: headers.map(header => ({ key: header.name, value: header.value })),
      isTransient,
      expiresMs: ttlMs < 0 ? -1 : this.#options.ledger.clock.nowMs() + ttlMs,
    }
  }

  #hasRoom(namespace: string, { exchange, key, isRetained, value }: Will, message: QueueMessage): boolean {
    const { cell, router } = this.#options
    if (!cell.isFull) return true
    if (isRetained && value.length > 0) return false
    return router.hasRoom(router.route(namespace, exchange, key) ?? [], message)
  }

  #post(namespace: string, { exchange, key, value, isRetained }: Will, message: QueueMessage): void {
    const { router, retained } = this.#options
    const { error } = router.post({ namespace, exchange, key, message })
    // What is not taken for now is not lost; what one place refuses for good, that place goes without.
    if (error === 'storage-full') throw storageFull()
    if (error === 'shutting-down') throw new BrokerError(error, 'the will is published after the next start')
    if (isRetained && value.length === 0) retained.remove(namespace, key)
    else if (isRetained) retained.keep(namespace, key, message)
  }

  /** The will is nobody's any more, so that its client can come back, and waits until there is room. */
  #holdBack(state: SessionState, will: Will): void {
    const { ledger, limits } = this.#options
    const { nextId: id, count } = this.#machine
    // One that is held back stays so, and when there are too many, the rest stay with their sessions.
    if (isKeeper(state) || count >= limits.sessionsMax) throw storageFull()
    const { namespace, owner } = state
    const keeper = { id, namespace, name: `${keeperPrefix}${id}`, owner, queue: '', expiryMs: 0, wills: [will] }
    const atMs = ledger.clock.nowMs()
    atomically(ledger, () => {
      this.#write(sessionFacts.entered, entered, keeper)
      this.#write(sessionFacts.left, left, { id, atMs, expiryMs: 0, keepsWill: true })
      this.#write(sessionFacts.willSettled, willSettled, { id: state.id })
    })
    this.#refused.add(id)
    this.#retryLater()
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
