import type { Readable } from 'node:stream'
import { CommandError } from './command.ts'

/** All that comes, up to a bound. */
export async function readAll(input: Readable, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of input as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > bytesMax) throw new CommandError(`The input is longer than ${bytesMax} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Lines without their end, as bytes, in lists of what has come together. The last one may lack its end. */
export async function* readLines(input: Readable, lineBytesMax: number): AsyncGenerator<Buffer[]> {
  let parts: Buffer[] = []
  let partBytes = 0
  for await (const chunk of input as AsyncIterable<Buffer>) {
    const lines: Buffer[] = []
    let from = 0
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      parts.push(chunk.subarray(from, end))
      lines.push(parts.length === 1 ? chunk.subarray(from, end) : Buffer.concat(parts))
      parts = []
      partBytes = 0
      from = end + 1
    }
    if (from < chunk.length) {
      parts.push(chunk.subarray(from))
      partBytes += chunk.length - from
      if (partBytes > lineBytesMax) throw new CommandError(`A line is longer than ${lineBytesMax} bytes`)
    }
    yield lines
  }
  if (partBytes > 0) yield [Buffer.concat(parts)]
}
