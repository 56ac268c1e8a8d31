import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { CommandDecoder } from './framing.ts'
import { encodeCommand } from './messages.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

interface Cut {
  commands: string[][]
  problem: string | undefined
}

function cut(decoder: CommandDecoder, chunks: readonly Buffer[]): Cut {
  const found: Cut = { commands: [], problem: undefined }
  for (const chunk of chunks) {
    decoder.push(chunk, ({ commands, problem }) => {
      found.commands.push(...commands.map(command => command.map(part => part.toString('latin1'))))
      found.problem ??= problem
    })
    // What lay in the chunk is gone.
    chunk.fill(0)
  }
  return found
}

const decoder = (frameBytesMax = 1_000_000): CommandDecoder => new CommandDecoder({ frameBytesMax })

test(`commands come out whole, wherever the bytes are cut (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 200; round++) {
    const sent = Array.from({ length: 1 + random.below(5) }, () =>
      Array.from({ length: 1 + random.below(4) }, () => random.bytes(random.below(random.pick([4, 40, 3000])))),
    )
    const bytes = Buffer.concat(sent.map(encodeCommand))
    const chunks: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(random.pick([1, 7, 4000]))
      chunks.push(Buffer.from(bytes.subarray(at, at + size)))
      at += size
    }
    const { commands, problem } = cut(decoder(), chunks)
    assert.equal(problem, undefined)
    assert.deepEqual(
      commands,
      sent.map(words => words.map(word => word.toString('latin1'))),
    )
  }
})

test('a line is a command, too, with quotes and escapes as in a shell', () => {
  const lines = 'SET k "a b\\x41\\n" \'it\\\'s\'\r\n\r\n  PING  \nGET ""\r\n'
  assert.deepEqual(cut(decoder(), [Buffer.from(lines)]).commands, [
    ['SET', 'k', 'a bA\n', "it's"],
    ['PING'],
    ['GET', ''],
  ])
  assert.equal(cut(decoder(), [Buffer.from('GET "a"b\r\n')]).problem, 'unbalanced quotes in request')
})

test('an announcement alone takes no memory', () => {
  const one = decoder(2 ** 29)
  cut(one, [Buffer.from('*2\r\n$3\r\nSET\r\n$500000000\r\n')])
  assert(one.pendingBytes < 100)
})

test('what is larger than a frame may be is refused', () => {
  assert.equal(cut(decoder(100_000), [Buffer.from('*2\r\n$60000\r\n')]).problem, undefined)
  assert.equal(cut(decoder(100_000), [Buffer.from('*2\r\n$100001\r\n')]).problem, 'invalid bulk length')
})
