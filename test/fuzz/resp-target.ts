import assert from 'node:assert/strict'
import type { Random } from '@dragoman/wire'
import { Writer } from '@dragoman/wire'
import { RespDriver } from '../../packages/broker/src/protocols/resp/driver.ts'
import { messages } from '../../packages/broker/src/protocols/resp/messages.ts'
import { value } from '../../packages/broker/src/protocols/resp/value.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'

const { network } = realRuntime()

/** Those that end connections, take away what well-behaved clients need, or hold up what follows. */
const isCalm = (name: string): boolean =>
  !/^(?:DEBUG SLEEP|CLIENT KILL|CLIENT REPLY|QUIT|CLIENT UNBLOCK|FLUSHALL|FLUSHDB)$/.test(name)
const codecs = Object.entries(messages).filter(([name]) => isCalm(name))
/** Who guesses passwords waits, longer and longer: a few are enough. */
const isGuess = (name: string): boolean => /^(?:AUTH|HELLO)$/.test(name)
const patient = codecs.filter(([name]) => !isGuess(name))

/** Commands as a client of Redis sends them, and values as they are answered. */
export const resp = {
  name: 'resp' as const,
  hello: Buffer.from('PING\r\n'),
  frames(random: Random): { bytes: Buffer; count: number } {
    const [name, codec] = random.pick(random.chance(0.001) ? codecs : patient)
    const words = codec.sample(random)
    // Who waits takes no other command.
    if (/^B[LR]/.test(name)) words.words[words.words.length - 1] = Buffer.from('0.001')
    const writer = new Writer()
    codec.write(writer, words)
    return { bytes: Buffer.from(writer.take()), count: 1 }
  },
  check(received: Buffer): { bytes: number; answers: number } {
    let at = 0
    let count = 0
    for (;;) {
      const found = at < received.length ? value(received, at) : undefined
      if (!found) return { bytes: at, answers: count }
      at = found.end
      count++
    }
  },
  async askSane(port: number): Promise<void> {
    const driver = await RespDriver.connect(network, { host: '127.0.0.1', port })
    const key = `sane-${Date.now()}`
    assert.equal(await driver.text('RPUSH', key, 'sane'), 1)
    assert.deepEqual(await driver.text('BLPOP', key, 1), [key, 'sane'])
    driver.close()
  },
}
