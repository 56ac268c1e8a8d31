import assert from 'node:assert/strict'
import test, { after, before, describe } from 'node:test'
import { startBroker } from '@dragoman/broker'
import { runChecks, type Check, type Outcome } from '../interop/suite.ts'
import { kafkajsChecks } from '../interop/kafka/kafkajs.ts'
import { platformaticChecks } from '../interop/kafka/platformatic.ts'

// The clients that npm brings, against an embedded broker; `npm run interop -- kafka` has all clients and a real process.
const clients: [string, (address: string) => Check[]][] = [
  ['kafkajs', kafkajsChecks],
  ['@platformatic/kafka', platformaticChecks],
]

/** Eight are under way at a time, on a machine that may have other things to do. Less than the fetch of the long poll waits. */
const checkMsMax = 110_000

for (const [name, checksOf] of clients) {
  describe(`${name} against an embedded broker`, { concurrency: 8 }, () => {
    let broker: Awaited<ReturnType<typeof startBroker>>
    before(async () => {
      // Members learn of a change with their next heartbeat.
      const heartbeat = { groupHeartbeatIntervalMs: 200, groupHeartbeatIntervalMinMs: 200 }
      broker = await startBroker({ data: 'memory', kafka: 0, ...heartbeat })
    })
    after(() => broker.close())
    for (const { capability } of checksOf('')) {
      test(capability, async () => {
        const checks = checksOf(`127.0.0.1:${broker.port('kafka')}`).filter(check => check.capability === capability)
        let outcome: Outcome = { kind: 'failed', reason: 'it did not run' }
        await runChecks(checks, (_, result) => (outcome = result), checkMsMax)
        assert.deepEqual(outcome, { kind: 'passed' })
      })
    }
  })
}
