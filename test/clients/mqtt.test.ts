import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { startBroker } from '@dragoman/broker'
import { mqttjs } from '../interop/mqtt/mqttjs.ts'
import type { Outcome } from '../interop/suite.ts'

// The client that npm brings, against an embedded broker; `npm run interop -- mqtt` has all clients and a real process.
describe('MQTT.js against an embedded broker', () => {
  let broker: Awaited<ReturnType<typeof startBroker>>
  before(async () => {
    broker = await startBroker({ data: 'memory', mqtt: 0 })
  })
  after(() => broker.close())
  test('each of its checks', async () => {
    const outcomes = new Map<string, Outcome>()
    await mqttjs.run({ address: `127.0.0.1:${broker.port('mqtt')}` }, (name, outcome) => outcomes.set(name, outcome))
    assert(outcomes.size > 0)
    for (const [name, outcome] of outcomes) assert.deepEqual(outcome, { kind: 'passed' }, name)
  })
})
