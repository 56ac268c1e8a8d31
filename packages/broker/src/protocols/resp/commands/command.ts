import type { Broker } from '../../../core/broker.ts'
import type { NamespacePermission } from '../../../core/identity/namespace-access.ts'
import type { SessionContext } from '../../protocol.ts'
import type { Keyspace } from '../keyspace.ts'
import type { ReplyWriter } from '../reply.ts'
import type { Server } from '../server.ts'
import type { Profile } from '../profile.ts'
import type { Subscriptions } from '../subscriptions.ts'
import type { Transaction } from '../transaction.ts'
import type { Wait } from '../waiting.ts'

/** What was sent: the command's name first. The bytes are valid only until the handler returns: what is kept longer is copied. */
export type Args = readonly Buffer[]

/** As `COMMAND` tells them. */
export type Flag =
  | 'write'
  | 'readonly'
  | 'denyoom'
  | 'admin'
  | 'pubsub'
  | 'noscript'
  | 'blocking'
  | 'loading'
  | 'stale'
  | 'fast'
  | 'no_auth'
  | 'movablekeys'
  | 'no_multi'

export type Group = 'connection' | 'generic' | 'string' | 'list' | 'stream' | 'pubsub' | 'transactions' | 'server'

/**
 * A command, declared once: dispatch, number of arguments, rights, `COMMAND` and the documentation follow from it.
 */
export interface CommandSpec {
  /** In small letters; of a subcommand, its own word. */
  readonly name: string
  /** How many words it has, its own included; negative: at least so many. */
  readonly arity: number
  readonly flags: readonly Flag[]
  /** Where its keys are: the first, the last (from the end when negative) and the distance between them. */
  readonly keys?: readonly [first: number, last: number, step: number]
  /** The same when it depends on the arguments. They may be anything. */
  keysOf?(args: Args): readonly number[]
  /** What it does to its keys, when that does not follow from its flags: `write` puts in, `read` takes out, `configure` makes and removes. */
  readonly rights?: readonly NamespacePermission[]
  readonly since: string
  readonly group: Group
  readonly summary: string
  /** Its answer shows nothing that has to be durable. */
  readonly isVolatile?: boolean
  readonly subcommands?: readonly CommandSpec[]
  /**
   * Carries it out, within this call, and writes exactly one answer to `client.reply`, or waits (`client.block`). It may throw `CommandError` or
   * `BrokerError`, with nothing written and nothing changed; and `NotLoaded`, after which it is called again.
   */
  run?(client: Client, args: Args): void
  /** Throws `NotLoaded` when `run` might: called before a transaction, which cannot stop in the middle. */
  prepare?(client: Client, args: Args): void
}

/** What a handler sees of its connection. */
export interface Client {
  readonly id: number
  readonly broker: Broker
  readonly namespace: string
  readonly server: Server
  readonly keys: Keyspace
  readonly reply: ReplyWriter
  readonly context: SessionContext
  readonly profile: Profile
  readonly transaction: Transaction<CommandSpec>
  readonly subscriptions: Subscriptions
  /** Whether answers are wanted; `skip`: the present one is not; `skip-next`: nor the one behind it. */
  replyMode: 'on' | 'off' | 'skip' | 'skip-next'
  /** Within `EXEC`: nothing may wait. */
  isExecuting: boolean
  /** Nothing more is answered. */
  readonly isOver: boolean
  /** Wall clock. */
  readonly nowMs: number
  /** The answer comes later: `waiter` is asked when one of its keys has changed. Nothing else of this connection is done until then. */
  block(wait: Wait): void
  /** Holds up what is behind until `run` has called its `done`; the answer is written before that. */
  pause(run: (done: () => void) => void): void
  /** Carries out another command, and writes its answer. */
  execute(spec: CommandSpec, args: Args): void
  /** The user has proved who they are. */
  loggedIn(user: string, access: NonNullable<Profile['access']>): void
  loggedOut(): void
  /** Closes the connection when all that was answered has been sent. */
  end(): void
  /** The answer must not leave before this block is durable. */
  durableWith(seq: number): void
  /** Whether the user may do this to what has this name; throws if not. */
  demand(permission: NamespacePermission, name: string): void
}
