import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker, type BrokerOptions } from '@dragoman/broker'
import { AmqpDriver } from '../../packages/broker/src/protocols/amqp/driver.ts'
import type { Conformance, ConformanceClient, Place } from '../../packages/broker/src/protocols/conformance.ts'
import { protocols, type ProtocolName } from '../../packages/broker/src/protocols/index.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'

export const { network } = realRuntime()

const folder = join(import.meta.dirname, '..', '..', 'packages', 'broker', 'src', 'protocols')

/** Every protocol that the broker has, by its name: one more joins with its `conformance.ts`. */
export async function all(): Promise<[ProtocolName, Conformance][]> {
  const found: [ProtocolName, Conformance][] = []
  for (const { name } of protocols) {
    const { conformance } = (await import(join(folder, name, 'conformance.ts'))) as { conformance: Conformance }
    found.push([name, conformance])
  }
  return found
}

export interface World {
  client(name: ProtocolName, conformance: Conformance): Promise<ConformanceClient>
  /** What is published about the subject goes to the place, too, as if somebody had bound it by hand. */
  bind(subject: string, place: Place, name: string): Promise<void>
  /** What comes to the topic is published about the subjects that its keys name. */
  feed(topic: string): Promise<void>
  /** Stops the broker and starts it again over what is on its disk. */
  restart(): Promise<void>
}

/** Where a broker keeps what it has: on the disk, as durable as it says, or nowhere. */
export const stores = ['fsync', 'os', 'memory'] as const
export type Store = (typeof stores)[number]

/** A broker with each protocol. */
export async function world(t: TestContext, store: Store = 'fsync'): Promise<World> {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-conformance-'))
  const where: BrokerOptions = store === 'memory' ? { data: store } : { data: directory, durability: store }
  const ports = Object.fromEntries(protocols.map(({ name }) => [name, 0]))
  let broker = await startBroker({ ...where, ...ports })
  const clients: ConformanceClient[] = []
  t.after(async () => {
    for (const client of clients) client.cut()
    await broker.close()
    rmSync(directory, { recursive: true, force: true })
  })
  return {
    async client(name, conformance) {
      const client = await conformance.connect(network, { host: '127.0.0.1', port: broker.port(name) })
      clients.push(client)
      return client
    },
    async bind(subject, place, name) {
      const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port: broker.port('amqp') })
      const channel = await driver.channel()
      // A list or a tube is not there before it has something in it.
      if (place === 'queue' || place === 'tube') await channel.declare(name)
      await channel.bind(name, 'amq.topic', subject)
      driver.destroy()
    },
    feed: topic => broker.core.feeds.set({ namespace: '/', name: 'feed', topic, exchange: 'amq.topic' }),
    async restart() {
      for (const client of clients.splice(0)) client.cut()
      await broker.close()
      broker = await startBroker({ ...where, ...ports })
    },
  }
}
