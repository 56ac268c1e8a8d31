import type { Call } from './call.ts'
import { Result, type Route } from './route.ts'
import { sumOfCounts } from './totals.ts'

/** In the text format of Prometheus, for everybody: there are numbers of the whole broker in it and no names but those of protocols. */
export const metricsRoutes: readonly Route[] = [{ path: '/metrics', need: 'nothing', on: { GET: metrics } }]

type Sample = [labels: string, value: number]

interface Metric {
  readonly name: string
  readonly type: 'counter' | 'gauge'
  readonly help: string
  readonly samples: readonly Sample[]
}

const one = (value: number): Sample[] => [['', value]]

/** Whoever asks more often is told the same again: all queues are looked at, and nobody has to say who they are. */
const keptMs = 500

async function metrics(call: Call): Promise<Result> {
  const { state, context } = call
  const nowMs = context.clock.monotonicMs()
  if (!state.metrics || nowMs - state.metrics.atMs >= keptMs) {
    state.metrics = { atMs: nowMs, text: await told(call) }
  }
  const headers = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-cache' }
  return new Result({ status: 200, headers, body: state.metrics.text })
}

async function told(call: Call): Promise<string> {
  const texts = [...messages(call), ...connections(call), ...(await ofProcess(call))].map(show)
  return texts.join('')
}

function show({ name, type, help, samples }: Metric): string {
  const lines = samples.map(([labels, value]) => `${name}${labels === '' ? '' : `{${labels}}`} ${value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function messages({ core }: Call): Metric[] {
  const queues = core.queues.list()
  const sum = (of: (queue: (typeof queues)[number]) => number): number =>
    queues.reduce((total, queue) => total + of(queue), 0)
  const counts = sumOfCounts(queues)
  const dropped = new Map<string, number>()
  for (const { statistics } of queues) {
    for (const [reason, count] of statistics.dropped) dropped.set(reason, (dropped.get(reason) ?? 0) + count)
  }
  const counter = (name: string, help: string, samples: readonly Sample[]): Metric => ({
    ...{ name: `dragoman_queue_${name}_total`, type: 'counter' },
    ...{ help: `${help}, since the start, of the queues that there are.`, samples },
  })
  const gauge = (name: string, help: string, value: number): Metric => ({
    ...{ name: `dragoman_${name}`, type: 'gauge', help, samples: one(value) },
  })
  return [
    gauge('queues', 'Queues.', queues.length),
    gauge('topics', 'Topics.', core.topics.list().length),
    gauge('exchanges', 'Exchanges, those that every namespace has included.', core.router.list().length),
    gauge('namespaces', 'Namespaces.', core.namespaces.list().length),
    gauge(
      'queue_messages_ready',
      'Messages that wait in queues.',
      sum(queue => core.work.depthOf(queue).ready),
    ),
    gauge(
      'queue_messages_unacked',
      'Messages that consumers hold.',
      sum(queue => core.work.depthOf(queue).held),
    ),
    gauge(
      'queue_messages_ready_bytes',
      'Bytes of the bodies of those that wait.',
      sum(of => of.readyBytes),
    ),
    gauge(
      'queue_consumers',
      'Consumers of queues.',
      sum(({ consumerCount }) => consumerCount),
    ),
    gauge('queue_transient_bytes', 'Messages of queues that are kept in memory alone.', core.queues.transient.bytes),
    gauge('queue_transient_bytes_max', 'What there may be of them.', core.limits.transientBytesMax),
    gauge('delayed_messages', 'Messages that are to be published later.', core.delayed.count),
    counter('published', 'Messages that came into queues', one(counts.publish)),
    counter('delivered', 'Messages given to consumers', [
      ['how="pushed",ack="manual"', counts.deliver],
      ['how="pushed",ack="auto"', counts.deliver_no_ack],
      ['how="pulled",ack="manual"', counts.get],
      ['how="pulled",ack="auto"', counts.get_no_ack],
    ]),
    counter('redelivered', 'Messages that were given out once more', one(counts.redeliver)),
    counter('acked', 'Messages that were acknowledged', one(counts.ack)),
    counter('refused', 'Messages that a full queue did not take', one(sum(({ statistics }) => statistics.refused))),
    counter(
      'dropped',
      'Messages that left without an acknowledgement',
      Array.from(dropped, ([reason, count]): Sample => [`reason="${reason}"`, count]),
    ),
  ]
}

function connections({ core }: Call): Metric[] {
  const samples = Array.from(core.connectionCounts(), ([name, count]): Sample => [`listener="${name}"`, count])
  const logins = core.identity.attempts.list().flatMap(({ protocol, succeeded, failed }): Sample[] => [
    [`protocol="${protocol}",outcome="succeeded"`, succeeded],
    [`protocol="${protocol}",outcome="failed"`, failed],
  ])
  const byProtocol = (counters: typeof core.connections.lost): Sample[] =>
    Array.from(counters, ([name, { count }]) => [`protocol="${name}"`, count])
  const lost = byProtocol(core.connections.lost)
  const closed = byProtocol(core.connections.closed)
  const help = 'Messages that connected subscribers did not take in time or could not take, since the start.'
  return [
    { name: 'dragoman_connections', type: 'gauge', help: 'Open connections, by listener.', samples },
    { name: 'dragoman_logins_total', type: 'counter', help: 'Attempts to log in, since the start.', samples: logins },
    { name: 'dragoman_subscriber_lost_total', type: 'counter', help, samples: lost },
    {
      name: 'dragoman_subscriber_closed_total',
      type: 'counter',
      help: 'Connected subscribers that were closed as they left too much unread, since the start.',
      samples: closed,
    },
  ]
}

async function ofProcess({ core }: Call): Promise<Metric[]> {
  const { volume } = core
  const space = await volume.space()
  const descriptors = await volume.descriptors()
  const { rss, heapUsed } = process.memoryUsage()
  const gauge = (name: string, help: string, value: number): Metric => ({
    ...{ name: `dragoman_${name}`, type: 'gauge', help, samples: one(value) },
  })
  const { lastSeq, pendingBytes, keptBytes } = volume.journal()
  const disk = space
    ? [
        gauge('disk_free_bytes', 'Bytes that are left where the data is.', space.freeBytes),
        gauge('disk_size_bytes', 'Bytes that the disk holds.', space.totalBytes),
      ]
    : []
  return [
    { ...gauge('journal_blocks_total', 'Blocks of the journal, since its beginning.', lastSeq + 1), type: 'counter' },
    gauge('journal_pending_bytes', 'Bytes that wait to be written to the journal.', pendingBytes),
    gauge('journal_kept_bytes', 'Bytes of the journal that a start would read.', keptBytes),
    ...disk,
    gauge('disk_reserve_bytes', 'With less left, nothing is written.', volume.reserveBytes),
    gauge('disk_full', '1 while nothing can be written: no space, or no file descriptors.', volume.isFull ? 1 : 0),
    ...(descriptors
      ? [
          gauge('process_descriptors', 'Files and connections that are open.', descriptors.open),
          gauge('process_descriptors_max', 'How many may be; connections are turned away before.', descriptors.max),
        ]
      : []),
    gauge('process_resident_memory_bytes', 'Memory of the process.', rss),
    gauge('process_heap_bytes', 'Memory of the process that objects take.', heapUsed),
  ]
}
