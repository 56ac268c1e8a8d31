import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { MqttDriver, type DriverOptions } from '../driver.ts'

export const { network } = realRuntime()

/** A broker in memory, unless `data` says otherwise, that ends with the test. */
export async function start(t: TestContext, options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', mqtt: 0, logLevel: 'error', ...options })
  t.after(() => broker.close())
  return broker
}

export const addressOf = (broker: RunningBroker) => ({ host: '127.0.0.1', port: broker.port('mqtt') })

export async function connect(t: TestContext, broker: RunningBroker, options?: DriverOptions): Promise<MqttDriver> {
  const driver = await MqttDriver.connect(network, addressOf(broker), options)
  t.after(() => driver.destroy())
  return driver
}

export async function dial(t: TestContext, broker: RunningBroker, options?: DriverOptions): Promise<MqttDriver> {
  const driver = await MqttDriver.dial(network, addressOf(broker), options)
  t.after(() => driver.destroy())
  return driver
}

/** A directory that goes with the process: what runs over it ends before. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  process.once('exit', () => rmSync(path, { recursive: true, force: true }))
  return path
}

export const later = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
