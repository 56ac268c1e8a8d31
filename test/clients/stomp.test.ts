import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { startBroker } from '@dragoman/broker'
import { stompit } from '../interop/stomp/stompit.ts'
import { stompjs } from '../interop/stomp/stompjs.ts'
import type { Outcome } from '../interop/suite.ts'

// The clients that npm brings, against an embedded broker; `npm run interop -- stomp` has all clients and a real process.
for (const client of [stompjs, stompit]) {
  describe(`${client.name} against an embedded broker`, () => {
    let broker: Awaited<ReturnType<typeof startBroker>>
    before(async () => {
      broker = await startBroker({ data: 'memory', stomp: 0 })
    })
    after(() => broker.close())
    test('each of its checks', async () => {
      const outcomes = new Map<string, Outcome>()
      await client.run({ address: `127.0.0.1:${broker.port('stomp')}` }, (name, outcome) => outcomes.set(name, outcome))
      assert(outcomes.size > 0)
      for (const [name, outcome] of outcomes) assert.deepEqual(outcome, { kind: 'passed' }, name)
    })
  })
}
