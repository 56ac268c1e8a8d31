import assert from 'node:assert/strict'
import type { Conformance, ConformanceClient, ConformanceConsumer, Taken } from '../conformance.ts'
import { RespDriver } from './driver.ts'
import { addEntry, carriedByEntries, groupConsumer, makeGroup } from './streams/conformance.ts'

export const conformance: Conformance = {
  places: ['queue', 'topic'],
  // What is published to a channel is gone for who does not listen.
  reaches: ['subject'],
  // What is popped is gone.
  settles: [],
  carries: [],
  carriesIn: { topic: carriedByEntries },
  names: () => ['a', 'orders:{1}:new', 'with blank', 'ä€😀', 'n'.repeat(255)],
  bodyBytesMax: () => 1024 * 1024,
  async connect(network, address): Promise<ConformanceClient> {
    const drivers: RespDriver[] = []
    const open = async (): Promise<RespDriver> => {
      const driver = await RespDriver.connect(network, address)
      drivers.push(driver)
      return driver
    }
    const driver = await open()
    const listeners = new Map<string, RespDriver>()
    return {
      async declare(place, name) {
        if (place === 'topic') return makeGroup(driver, name)
        if (place !== 'subject') return
        const listener = await open()
        await listener.ask('SUBSCRIBE', name)
        listeners.set(name, listener)
      },
      async publish(place, name, message) {
        if (place === 'topic') return addEntry(driver, name, message)
        await driver.text(place === 'subject' ? 'PUBLISH' : 'RPUSH', name, message.body)
      },
      async consume(place, name) {
        if (place === 'subject') return channelConsumer(listeners.get(name))
        const consumer = await open()
        if (place === 'topic') return groupConsumer(consumer, name)
        return {
          async next() {
            const answer = await consumer.ask('BLPOP', name, 20)
            assert(Array.isArray(answer) && Buffer.isBuffer(answer[1]), String(answer))
            return takenOf(answer[1])
          },
        }
      },
      cut: () => {
        for (const each of drivers) each.close()
      },
    }
  },
}

const takenOf = (body: Buffer): Taken => ({ message: { body }, redelivered: undefined, settle: async () => {} })

function channelConsumer(listener: RespDriver | undefined): ConformanceConsumer {
  assert(listener)
  return {
    async next() {
      const [, , body] = await listener.push()
      assert(Buffer.isBuffer(body))
      return takenOf(body)
    },
  }
}
