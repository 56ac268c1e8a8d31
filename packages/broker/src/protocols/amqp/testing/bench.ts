import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { AmqpDriver, type DriverChannel, type DriverOptions } from '../driver.ts'

export const { network } = realRuntime()

/** A broker in memory, unless `data` says otherwise, that ends with the test. */
export async function start(t: TestContext, options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', amqp: 0, ...options })
  t.after(() => broker.close())
  return broker
}

export async function connect(t: TestContext, broker: RunningBroker, options?: DriverOptions): Promise<AmqpDriver> {
  const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port: broker.port('amqp') }, options)
  t.after(() => driver.destroy())
  return driver
}

/** A channel of its own connection to a broker of its own. */
export async function channelOf(t: TestContext, options: BrokerOptions = {}): Promise<DriverChannel> {
  return (await connect(t, await start(t, options))).channel()
}

/** A directory that goes with the process: what runs over it ends before. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  process.once('exit', () => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Runs `run` on a channel of its own, and gives the words with which the broker closes that channel. */
export async function refusal(
  t: TestContext,
  broker: RunningBroker,
  run: (channel: DriverChannel) => Promise<unknown>,
): Promise<string> {
  const channel = await (await connect(t, broker)).channel()
  const [closed] = await Promise.all([channel.closed(), run(channel).catch(() => {})])
  return closed.message
}
