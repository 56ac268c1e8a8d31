import { emptyFrameBytes, frameEnd, frameHeadBytes, frameTypes } from './framing.ts'
import { basicClassId, contentHeaderHeadBytes } from './messages/basic.ts'

/** Properties and body of a message, wherever they lie. */
export interface Content {
  readonly properties: Buffer
  readonly body: Buffer
}

/** Bytes of the frames behind the method: header and body. */
export function contentBytes({ properties, body }: Content, frameMax: number): number {
  const frames = Math.ceil(body.length / (frameMax - emptyFrameBytes))
  return emptyFrameBytes + contentHeaderHeadBytes + properties.length + body.length + emptyFrameBytes * frames
}

/** Copies them to `at`; returns where they end. */
export function putContent(
  target: Buffer,
  at: number,
  channel: number,
  { properties, body }: Content,
  frameMax: number,
): number {
  let next = putHead(target, at, frameTypes.header, channel, contentHeaderHeadBytes + properties.length)
  target.writeUInt32BE(basicClassId * 0x1_0000, next)
  target.writeUInt32BE(Math.floor(body.length / 0x1_0000_0000), next + 4)
  target.writeUInt32BE(body.length >>> 0, next + 8)
  next += contentHeaderHeadBytes
  next += properties.copy(target, next)
  target[next++] = frameEnd
  const most = frameMax - emptyFrameBytes
  for (let from = 0; from < body.length; from += most) {
    const to = Math.min(body.length, from + most)
    next = putHead(target, next, frameTypes.body, channel, to - from)
    next += body.copy(target, next, from, to)
    target[next++] = frameEnd
  }
  return next
}

/** Type, channel and size of a frame; returns where its payload begins. */
export function putHead(target: Buffer, at: number, type: number, channel: number, size: number): number {
  target[at] = type
  target[at + 1] = channel >>> 8
  target[at + 2] = channel
  target.writeUInt32BE(size, at + 3)
  return at + frameHeadBytes
}
