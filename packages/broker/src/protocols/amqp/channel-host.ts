import type { Connection } from './connection.ts'
import type { Method } from './messages/method.ts'

/** What the parts of a channel see of it. */
export interface ChannelHost {
  readonly number: number
  readonly connection: Connection
  /** Named by methods that leave the name of the queue empty. */
  lastQueue: string | undefined
  /** A method to the peer, unless the channel is over. */
  send<W>(method: Method<unknown, W>, fields: W): void
  /** Runs `then` behind the answer to the method that is being carried out; at once when there is none. */
  behindAnswer(then: () => void): void
  /** Ends the channel, or the connection, as the error demands. */
  fail(error: unknown, failed: Method | undefined): void
  /** Releases all that the channel holds. Of no effect when it has ended. */
  end(): void
}
