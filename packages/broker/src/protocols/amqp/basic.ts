import type { Channel } from './channel.ts'
import type { BasicStatistics } from './statistics.ts'

/**
 * What one channel has of the classes basic, confirm and tx: the message that is being published, consumers, what they hold, and what is not
 * confirmed yet.
 */
export class Basic {
  readonly channel: Channel

  constructor(channel: Channel) {
    this.channel = channel
  }

  get statistics(): BasicStatistics {
    return {
      prefetchCount: 0,
      globalPrefetchCount: 0,
      unacked: 0,
      unconfirmed: 0,
      uncommitted: 0,
      consumers: 0,
      confirms: false,
      transactional: false,
    }
  }

  /** The header of the message behind basic.publish. `properties` (flags and values, as they came) is valid only during the call. No body follows when `bodyBytes` is 0. */
  header(_bodyBytes: number, _properties: Buffer): void {}

  /** A part of the body, valid only during the call; `left` bytes follow, and with 0 the message is whole. */
  body(_part: Buffer, _left: number): void {}

  /** The channel is over: consumers go, and what they hold goes back. Called once. */
  end(): void {}
}
