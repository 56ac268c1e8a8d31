import type { Random } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import type { Counter } from '../../core/connections.ts'
import type { Clock } from '../../runtime/runtime.ts'
import { perBroker } from '../per-broker.ts'
import type { SessionContext } from '../protocol.ts'
import { Keyspace } from './keyspace.ts'
import type { OutputLimit } from './output-limits.ts'
import { PubSub } from './pubsub.ts'
import { streamTypes } from './stream-type.ts'
import type { Profile } from './profile.ts'
import type { Subscriptions } from './subscriptions.ts'

/** A connection as others see it. */
export interface Peer {
  readonly id: number
  readonly context: SessionContext
  readonly profile: Profile
  readonly subscriptions: Subscriptions
  readonly isBlocked: boolean
  readonly protocolVersion: 2 | 3
  /** Commands that it has queued for a transaction; -1: it has none. */
  readonly queuedCount: number
  readonly watchedCount: number
  /** Bytes that it has not taken. */
  readonly queuedBytes: number
  end(): void
  /** Ends its waiting as if its time were over, or with an error. Whether there was any. */
  unblock(error?: string): boolean
}

/** What all connections of a broker have in common. */
export class Server {
  readonly keys: Keyspace
  readonly pubsub: PubSub
  readonly startedMs: number
  readonly runId: string
  readonly sessions = new Map<number, Peer>()
  /** Settings that were changed and have no effect: they are told again. */
  readonly settings = new Map<string, string>()
  /** Of clients that subscribe to channels. */
  outputLimit: OutputLimit
  readonly closedSubscribers: Counter
  connectionsEver = 0
  commandsEver = 0
  /** Times that each command was called. */
  readonly calls = new Map<string, number>()
  /** Answers that were errors, by their codes. */
  readonly errors = new Map<string, number>()
  readonly random: Random
  #nextId = 1

  private constructor(broker: Broker, random: Random, clock: Clock) {
    this.keys = new Keyspace(broker)
    this.keys.types.push(...streamTypes(broker, this.keys))
    this.pubsub = new PubSub(broker, this.keys.namespace, clock)
    this.outputLimit = { hardBytes: broker.limits.subscriberUnreadBytesMax, softBytes: 0, softSeconds: 0 }
    this.closedSubscribers = broker.connections.closedBy('resp')
    this.startedMs = clock.monotonicMs()
    this.random = random
    this.runId = random.bytes(20).toString('hex')
  }

  static readonly of = perBroker((broker, random: Random, clock: Clock) => new Server(broker, random, clock))

  nextId(): number {
    return this.#nextId++
  }

  /** An answer was an error. */
  readonly countError = (text: string): void => {
    const [code = ''] = text.split(' ', 1)
    this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
  }

  resetStatistics(): void {
    this.calls.clear()
    this.errors.clear()
    this.connectionsEver = this.commandsEver = 0
  }
}
