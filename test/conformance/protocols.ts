import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker } from '@dragoman/broker'
import type { Conformance, ConformanceClient } from '../../packages/broker/src/protocols/conformance.ts'
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
  /** Stops the broker and starts it again over what is on its disk. */
  restart(): Promise<void>
}

/** A broker on a disk, with each protocol. */
export async function world(t: TestContext): Promise<World> {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-conformance-'))
  const ports = Object.fromEntries(protocols.map(({ name }) => [name, 0]))
  let broker = await startBroker({ data, ...ports })
  const clients: ConformanceClient[] = []
  t.after(async () => {
    for (const client of clients) client.cut()
    await broker.close()
    rmSync(data, { recursive: true, force: true })
  })
  return {
    async client(name, conformance) {
      const client = await conformance.connect(network, { host: '127.0.0.1', port: broker.port(name) })
      clients.push(client)
      return client
    },
    async restart() {
      for (const client of clients.splice(0)) client.cut()
      await broker.close()
      broker = await startBroker({ data, ...ports })
    },
  }
}
