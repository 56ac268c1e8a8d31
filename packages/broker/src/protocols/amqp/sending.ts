import type { ChannelHost } from './channel-host.ts'
import { contentBytes, putContent, putHead, type Content } from './content.ts'
import type { Delivered } from './delivered.ts'
import { emptyFrameBytes, frameEnd, frameTypes } from './framing.ts'
import { basicDeliver } from './messages/basic.ts'
import { fitting, shortBytes } from './rewriting.ts'

/** Class and method, delivery tag, and the redelivered flag. */
const deliverFixedBytes = 4 + 8 + 1

/** Writes the messages of one channel to its peer. */
export class Sending {
  readonly #channel: ChannelHost
  #exchange = ''
  #exchangeBytes = shortBytes('')

  constructor(channel: ChannelHost) {
    this.#channel = channel
  }

  /**
   * A message for a consumer, whose tag is given as `shortBytes`. Its bytes are copied. `taken` is called when the system has taken all that
   * was sent until then.
   */
  deliver(tag: Buffer, deliveryTag: number, redelivered: boolean, delivered: Delivered, taken?: () => void): void {
    const { connection, number } = this.#channel
    const { frameMax } = connection
    const { exchange, key } = delivered
    const content = fitting(delivered, frameMax)
    if (exchange !== this.#exchange) {
      this.#exchange = exchange
      this.#exchangeBytes = shortBytes(exchange)
    }
    const exchangeBytes = this.#exchangeBytes
    const size = deliverFixedBytes + tag.length + exchangeBytes.length + 1 + key.length
    const frames = Buffer.allocUnsafe(emptyFrameBytes + size + contentBytes(content, frameMax))
    let at = putHead(frames, 0, frameTypes.method, number, size)
    at = frames.writeUInt32BE(basicDeliver.id, at)
    at += tag.copy(frames, at)
    at = frames.writeUInt32BE(Math.floor(deliveryTag / 0x1_0000_0000), at)
    at = frames.writeUInt32BE(deliveryTag >>> 0, at)
    frames[at++] = redelivered ? 1 : 0
    at += exchangeBytes.copy(frames, at)
    frames[at++] = key.length
    at += key.copy(frames, at)
    frames[at++] = frameEnd
    putContent(frames, at, number, content, frameMax)
    connection.write([frames], taken)
  }

  /** The message behind a method. Its bytes are copied. */
  content(whole: Content): void {
    const { connection, number } = this.#channel
    const { frameMax } = connection
    const content = fitting(whole, frameMax)
    const frames = Buffer.allocUnsafe(contentBytes(content, frameMax))
    putContent(frames, 0, number, content, frameMax)
    connection.write([frames])
  }
}
