import { compareRates } from '../harness/amqp.ts'
import type { Claim } from '../harness/bench.ts'

export const claim: Claim = {
  title:
    'Persistent messages published with confirms, 1,000 unconfirmed at most: at least 4 times RabbitMQ with a classic durable queue, and 3 times with a quorum queue.',
  method:
    'A raw generator, one connection and channel, default exchange; nobody consumes. 3 s of publishing and consuming before; the queue is declared on both sides with the same type. ' +
    'RabbitMQ has its default settings and one node; ours has durability fsync.',
  run: bench =>
    compareRates(bench, { mode: 'publish', figure: 'confirmedPerSecond', targets: { classic: 4, quorum: 3 } }),
}
