import assert from 'node:assert/strict'
import test from 'node:test'
import { ReplyWriter } from './reply.ts'

const sizes = [1, 31, 32, 1000, 5000, 8 * 1024 - 1]

/** Some 200 KiB of answers: what was taken, and what it has to be. */
function write(writer: ReplyWriter, fill: number): { parts: Buffer[]; expected: Buffer } {
  const expected: Buffer[] = []
  for (let round = 0; round < 100; round++) {
    const value = Buffer.alloc(sizes[round % sizes.length]!, fill + round)
    writer.bulk(value)
    writer.integer(round)
    expected.push(Buffer.from(`$${value.length}\r\n`), value, Buffer.from(`\r\n:${round}\r\n`))
  }
  return { parts: writer.take(), expected: Buffer.concat(expected) }
}

test('what a writer has given away stays as it is until it is sent, and then its memory is used again', () => {
  const writers = [new ReplyWriter(), new ReplyWriter()]
  const memory = new Set<ArrayBufferLike>()
  let reused = 0
  for (let round = 0; round < 30; round++) {
    const taken = writers.map((writer, index) => ({ ...write(writer, 50 * index + round), sent: writer.sent() }))
    for (const { parts, expected } of taken) assert(Buffer.concat(parts).equals(expected))
    for (const { parts, sent } of taken) {
      for (const buffer of new Set(parts.map(part => part.buffer))) {
        if (memory.has(buffer)) reused++
        else memory.add(buffer)
      }
      sent?.()
    }
  }
  assert(reused > memory.size, `${reused} of ${memory.size}`)
})
