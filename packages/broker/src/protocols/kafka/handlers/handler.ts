import type { Codec, Infer, Reader, Write } from '@dragoman/wire'
import type { Broker } from '../../../core/broker.ts'
import type { Operation, ResourceKind } from '../../../core/identity/permissions.ts'
import type { SessionContext } from '../../protocol.ts'
import type { Authentication } from '../authentication.ts'
import type { Api } from '../messages/index.ts'

/** One request that is being answered: what a handler may know of it, and where its answer goes. */
export interface Exchange<A> {
  readonly broker: Broker
  /** The connection: its addresses, clock, random numbers and log. */
  readonly connection: SessionContext
  /** All that is answered on this connection, by api key. */
  readonly handlers: ReadonlyMap<number, Handler>
  /** As the request's header says; null when it says none. */
  readonly clientId: string | null
  readonly version: number
  /** Who asks: the name of a user, or `anonymous` of `permissions.ts`. */
  readonly principal: string
  /**
   * Whether who asks may do this to the resource of the home namespace; the one resource of kind `cluster` is `clusterName`.
   * Cheap enough for every partition of every request: nothing is allocated for what was asked before.
   */
  may(operation: Operation, kind: ResourceKind, name: string): boolean
  /** Whether there is any resource of the kind, there or not yet, to which who asks may do this. */
  mayAny(operation: Operation, kind: ResourceKind): boolean
  /** Who the connection speaks for, and how it came to be known. */
  readonly authentication: Authentication
  /**
   * Answers the request; call it once, now or later. It is encoded before this returns. `written` is called when bytes that
   * the answer refers to are no longer needed, also when the connection is gone.
   */
  reply(answer: A, written?: () => void): void
  /** Answers the request, and closes the connection when the answer is on its way. */
  replyLast(answer: A): void
  /** Ends the request without an answer. */
  replyNothing(): void
  /** Closes the connection once all earlier requests are answered: for what can be refused in no other way. */
  disconnect(reason: string): void
  /** A bug of ours came to light while answering: logs it and closes the connection. */
  fail(error: unknown): void
  /**
   * Calls `run`, which must answer, if the request is not answered in `delayMs`. Only the oldest request of a connection is
   * watched: those behind it could not be answered anyhow.
   */
  answerWithin(delayMs: number, run: () => void): void
  /** Tells the client to wait for so long, and does not listen to it meanwhile. To be called before the answer. */
  holdBack(ms: number): void
  /** Called if the connection closes before the answer. */
  cancel: (() => void) | undefined
  /** Calls `run` when the connection is gone, unless the returned function is called before. */
  atClose(run: () => void): () => void
}

/**
 * Answers one kind of request. It returns the answer, or a promise of it, or undefined when it calls `exchange.reply` itself.
 *
 * Buffers of the request are slices of the receive buffer: they are valid only until `handle` returns or awaits for the first time.
 * Refusals of the broker (`BrokerError`) are put into the answer by the handler; what it throws closes the connection.
 */
export type Handle<Q, A> = (exchange: Exchange<A>, request: Q, version: number) => A | Promise<A> | undefined | void

/** What the session and ApiVersions know of a handler. */
export interface Handler {
  readonly key: number
  readonly name: string
  /** First and last version that is answered. */
  readonly versions: readonly [number, number]
  /** From this version on, the headers of request and answer have tagged fields. */
  readonly flexible: number
  /** The answer may be large: one connection has only one such request under way. */
  readonly bulky: boolean
  /** Brings records: who sends such requests is held back while the disk is behind. */
  readonly feeds: boolean
  /** The bytes of the request count as published, or those of the answer as fetched. */
  readonly counts: 'published' | 'fetched' | undefined
  readonly answer: Codec<unknown>
  /** Reads the body and handles it. Throws `ProtocolError` when the bytes are not such a request. */
  serve(exchange: Exchange<unknown>, body: Reader): void
}

export interface HandlerOptions {
  /** When not all declared versions are answered. */
  versions?: readonly [number, number]
  bulky?: boolean
  feeds?: boolean
  counts?: 'published' | 'fetched'
}

/** Makes a handler of a declared request and the function that answers it. */
export function defineHandler<Q extends Codec<unknown>, A extends Codec<unknown>>(
  api: Api<Q, A>,
  handle: Handle<Infer<Q>, Write<A>>,
  options: HandlerOptions = {},
): Handler {
  return {
    key: api.key,
    name: api.name,
    versions: options.versions ?? api.versions,
    flexible: api.flexible,
    bulky: options.bulky ?? false,
    feeds: options.feeds ?? false,
    counts: options.counts,
    answer: api.response,
    serve(exchange, body) {
      // Bytes after the last field are ignored, as Kafka ignores them.
      const request = api.request.read(body, exchange.version) as Infer<Q>
      const answer = handle(exchange as Exchange<Write<A>>, request, exchange.version)
      if (answer === undefined) return
      if (answer instanceof Promise) return settle(exchange, answer)
      exchange.reply(answer)
    },
  }
}

function settle<A>(exchange: Exchange<A>, answer: Promise<A>): void {
  answer.then(value => exchange.reply(value)).catch((error: unknown) => exchange.fail(error))
}
