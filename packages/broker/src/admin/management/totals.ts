import type { Queue } from '../../core/queues/queue.ts'
import type { Call } from './call.ts'
import type { Item } from './listing.ts'
import { withRates } from './rates.ts'

/** Messages that queues hold. */
export interface MessageCounts {
  ready: number
  unacknowledged: number
}

/** Of all queues in the namespaces. */
export function messageCounts({ core }: Pick<Call, 'core'>, vhosts: readonly string[]): MessageCounts {
  const counts = { ready: 0, unacknowledged: 0 }
  for (const vhost of vhosts) {
    for (const queue of core.queues.list(vhost)) {
      const { ready, held } = core.work.depthOf(queue)
      counts.ready += ready
      counts.unacknowledged += held
    }
  }
  return counts
}

/** How many messages there are, in the words of this API, with their rates. */
export function depthOf(call: Call, key: string, { ready, unacknowledged }: MessageCounts): Item {
  const values = {
    messages: ready + unacknowledged,
    messages_ready: ready,
    messages_unacknowledged: unacknowledged,
  }
  return withRates(values, call.state.rates.of(key, values, call.context.clock.monotonicMs()))
}

/** The messages of namespaces together. */
export function totalsOf(call: Call, vhosts: readonly string[]): Item {
  return depthOf(call, `depth ${JSON.stringify(vhosts)}`, messageCounts(call, vhosts))
}

/** What has happened to messages since the broker was started, in the words of this API. */
type Counts = Record<(typeof countNames)[number], number>

const countNames = [
  'publish',
  'deliver',
  'deliver_no_ack',
  'get',
  'get_no_ack',
  'get_empty',
  'deliver_get',
  'redeliver',
  'ack',
] as const

export function countsOf({ statistics }: Queue): Counts {
  const { published, delivered, deliveredSettled, pulled, pulledSettled, pulledNothing, redelivered, acked } =
    statistics
  return {
    publish: published,
    deliver: delivered,
    deliver_no_ack: deliveredSettled,
    get: pulled,
    get_no_ack: pulledSettled,
    get_empty: pulledNothing,
    deliver_get: delivered + deliveredSettled + pulled + pulledSettled,
    redeliver: redelivered,
    ack: acked,
  }
}

export function sumOfCounts(queues: Iterable<Queue>): Counts {
  const sum = Object.fromEntries(countNames.map(name => [name, 0])) as Counts
  for (const queue of queues) {
    const counts = countsOf(queue)
    for (const name of countNames) sum[name] += counts[name]
  }
  return sum
}

function rated(call: Call, key: string, counts: Readonly<Record<string, number>>): Item {
  return withRates(counts, call.state.rates.of(key, counts, call.context.clock.monotonicMs()))
}

/** Of all queues in the namespaces that are there now. */
export function messageStatsOf(call: Call, vhosts: readonly string[]): Item {
  const queues = vhosts.flatMap(vhost => call.core.queues.list(vhost))
  return rated(call, `counts ${JSON.stringify(vhosts)}`, sumOfCounts(queues))
}

/** What one queue holds in bytes, and what has happened in it. */
export function queueStatsOf(call: Call, queue: Queue): Item {
  const { readyBytes: ready, inFlightBytes: unacknowledged } = queue
  return {
    message_bytes: ready + unacknowledged,
    message_bytes_ready: ready,
    message_bytes_unacknowledged: unacknowledged,
    message_bytes_persistent: queue.definition.isKept ? ready + unacknowledged : 0,
    message_bytes_ram: 0,
    message_bytes_paged_out: ready,
    message_stats: rated(call, `counts ${queue.definition.id}`, countsOf(queue)),
  }
}
