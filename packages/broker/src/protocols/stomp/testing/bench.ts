import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { StompDriver, type Received } from '../driver.ts'
import type { Version } from '../headers.ts'

export const { network } = realRuntime()

export async function start(t: TestContext, options: BrokerOptions = {}): Promise<RunningBroker> {
  const broker = await startBroker({ data: 'memory', stomp: 0, ...options })
  t.after(() => broker.close())
  return broker
}

export const addressOf = (broker: RunningBroker): { host: string; port: number } => ({
  host: '127.0.0.1',
  port: broker.port('stomp'),
})

export async function connect(
  t: TestContext,
  broker: RunningBroker,
  headers: Record<string, string> = {},
  version: Version = '1.2',
): Promise<StompDriver> {
  const driver = await StompDriver.connect(network, addressOf(broker), headers, version)
  t.after(() => driver.close())
  return driver
}

export function directory(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** The frame is refused: by an ERROR that says so, behind which the connection is closed. */
export async function refused(driver: StompDriver, title: string, explanation: RegExp): Promise<Received> {
  const error = await driver.expect('ERROR')
  assert.equal(error.headers['message'], title)
  assert.match(error.body.toString(), explanation)
  await driver.gone()
  return error
}

export const bodies = async (driver: StompDriver, subscription: string, count: number): Promise<string[]> => {
  const found: string[] = []
  while (found.length < count) found.push((await driver.message(subscription)).body.toString())
  return found
}
