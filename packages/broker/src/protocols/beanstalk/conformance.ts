import { BeanstalkDriver } from './driver.ts'
import type { Conformance, ConformanceClient } from '../conformance.ts'

export const conformance: Conformance = {
  places: ['tube'],
  settles: ['tube'],
  carries: [],
  names: () => ['a', 'with-every_sign+/;.$()', 'n'.repeat(200)],
  bodyBytesMax: () => 65_535,
  async connect(network, address): Promise<ConformanceClient> {
    const driver = await BeanstalkDriver.connect(network, address)
    return {
      declare: async () => {},
      publish: async (_place, name, { body }) => void (await driver.publish(name, body)),
      consume: async (_place, name) => ({
        async next() {
          const { id, body } = await driver.consume(name)
          return { message: { body }, redelivered: undefined, settle: () => driver.ack(id) }
        },
      }),
      cut: () => driver.close(),
    }
  },
}
