import assert from 'node:assert/strict'
import test from 'node:test'
import { Random, Writer } from '@dragoman/wire'
import { startBroker } from '../../main.ts'
import { AmqpDriver } from './driver.ts'
import { frameEnd } from './framing.ts'
import { methods } from './messages/index.ts'
import { connect, network } from './testing/bench.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

/** One frame; the size is right more often than not. */
function frame(random: Random, type: number, channel: number, payload: Buffer): Buffer {
  const writer = new Writer()
  writer.u8(type)
  writer.u16(channel)
  writer.u32(random.chance(0.02) ? random.u32() : payload.length)
  writer.bytes(payload)
  writer.u8(random.chance(0.01) ? random.below(256) : frameEnd)
  return writer.take()
}

const onChannels = methods.filter(({ name }) => !name.startsWith('connection.') && name !== 'channel.close')

function methodBytes(random: Random): Buffer {
  const { id, codec } = random.pick(onChannels)
  const writer = new Writer()
  writer.u32(id)
  codec.write(writer, codec.sample(random) as never)
  return writer.take()
}

function headerBytes(random: Random): Buffer {
  const writer = new Writer()
  writer.u16(random.chance(0.9) ? 60 : random.below(100))
  writer.u16(0)
  writer.i64(random.chance(0.9) ? random.below(20) : random.below(2 ** 31))
  writer.bytes(random.chance(0.5) ? Buffer.alloc(2) : random.bytes(random.below(30)))
  return writer.take()
}

/** Frames that a client may send, in any order, with a few bytes changed. */
function hostileBytes(random: Random): Buffer {
  const frames = Array.from({ length: 1 + random.below(12) }, () => {
    const dice = random.below(10)
    const channel = 1 + random.below(2)
    if (dice < 6) return frame(random, 1, channel, methodBytes(random))
    if (dice < 8) return frame(random, 2, channel, headerBytes(random))
    return frame(random, dice === 8 ? 3 : random.below(10), channel, random.bytes(random.below(30)))
  })
  const bytes = Buffer.concat(frames)
  if (random.chance(0.3)) bytes[random.below(bytes.length)] = random.below(256)
  return bytes
}

test(`whatever a client sends, only its own connection ends (SEED=${seed})`, async t => {
  const random = new Random(seed)
  const log: string[] = []
  const broker = await startBroker({ data: 'memory', amqp: 0 }, { writeLog: line => log.push(line) })
  t.after(() => broker.close())
  const address = { host: '127.0.0.1', port: broker.port('amqp') }
  const good = await (await connect(t, broker)).channel()
  await good.declare('q')
  for (let round = 0; round < 300; round++) {
    const driver = await AmqpDriver.connect(network, address)
    await Promise.all([driver.channel(), driver.channel()])
    driver.ignoreAnswers()
    for (let count = 1 + random.below(4); count > 0 && !driver.gone; count--) driver.send(hostileBytes(random))
    await good.publish('', 'q', 'm')
    assert.equal(String((await good.get('q', { noAck: true }))?.body), 'm')
    driver.destroy()
  }
  assert.deepEqual(
    log.filter(line => line.includes(' error ')),
    [],
  )
})
