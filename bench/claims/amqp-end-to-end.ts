import { compareRates } from '../harness/amqp.ts'
import type { Claim } from '../harness/bench.ts'

export const claim: Claim = {
  title:
    'Persistent messages published with confirms, delivered and acknowledged one by one: at least 4 times RabbitMQ with a classic durable queue.',
  method:
    'A raw generator, a publisher with 1,000 unconfirmed messages at most and a consumer with a prefetch of 1,000 and an ack for each message, each on a connection of its own, at once. ' +
    'What counts is acknowledged messages per second. 3 s of the same before.',
  run: bench => compareRates(bench, { mode: 'flow', figure: 'ackedPerSecond', targets: { classic: 4 } }),
}
