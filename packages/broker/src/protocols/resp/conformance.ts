import assert from 'node:assert/strict'
import type { Conformance, ConformanceClient } from '../conformance.ts'
import { RespDriver } from './driver.ts'

export const conformance: Conformance = {
  places: ['queue'],
  // What is popped is gone.
  settles: [],
  carries: [],
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
      publish: async (_place, name, { body }) => void (await driver.text('RPUSH', name, body)),
      async consume(_place, name) {
        const consumer = await open()
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
