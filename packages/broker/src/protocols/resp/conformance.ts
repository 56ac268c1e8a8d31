import assert from 'node:assert/strict'
import type { Conformance, ConformanceClient } from '../conformance.ts'
import { RespDriver } from './driver.ts'
import { addEntry, carriedByEntries, groupConsumer } from './streams/conformance.ts'

export const conformance: Conformance = {
  places: ['queue', 'topic'],
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
    return {
      declare: async () => {},
      publish: async (place, name, message) =>
        place === 'topic' ? addEntry(driver, name, message) : void (await driver.text('RPUSH', name, message.body)),
      async consume(place, name) {
        const consumer = await open()
        if (place === 'topic') return groupConsumer(consumer, name)
        return {
          async next() {
            const answer = await consumer.ask('BLPOP', name, 20)
            assert(Array.isArray(answer) && Buffer.isBuffer(answer[1]), String(answer))
            return { message: { body: answer[1] }, redelivered: undefined, settle: async () => {} }
          },
        }
      },
      cut: () => {
        for (const each of drivers) each.close()
      },
    }
  },
}
