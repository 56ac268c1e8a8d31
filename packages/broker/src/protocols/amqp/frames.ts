import { Writer } from '@dragoman/wire'
import { frameEnd, frameTypes } from './framing.ts'
import type { Method } from './messages/method.ts'

const writer = new Writer()

/** A method frame. Throws `RangeError` when a field cannot hold its value. */
export function encodeMethod<W>(channel: number, method: Method<unknown, W>, fields: W): Buffer[] {
  beginFrame(writer, frameTypes.method, channel)
  writer.u32(method.id)
  try {
    method.codec.write(writer, fields)
  } catch (error) {
    writer.take()
    throw error
  }
  endFrame(writer, 0)
  return [writer.take()]
}

/** Begins a frame at the present end; its size is filled in by `endFrame`. */
export function beginFrame(to: Writer, type: number, channel: number): void {
  to.u8(type)
  to.u16(channel)
  to.u32(0)
}

/** Ends the frame that begins at `at`, counted as `Writer.length` does. */
export function endFrame(to: Writer, at: number): void {
  to.patchI32(at + 3, to.length - at - 7)
  to.u8(frameEnd)
}
