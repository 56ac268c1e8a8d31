import { performance } from 'node:perf_hooks'
import { startBroker, type RunningBroker } from '../../packages/broker/src/index.ts'
import { homeNamespace } from '../../packages/broker/src/core/broker.ts'
import { format, type Bench, type Claim, type Row } from '../harness/bench.ts'

export const claim: Claim = {
  title:
    'Within one process, a queue takes more than 300,000 messages of 16 bytes a second, durably, and gives as many out; priorities cost no more than as much again.',
  method:
    'Messages are published by the default exchange in turns of 200 with at most 10,000 that are not durable, each answered when its block is (fsynced, but for the row that says otherwise); ' +
    'then one consumer with a prefetch of 1000 takes them all, and acknowledges them turn by turn. One message to a thousand queues is counted a thousand times. The best of the runs counts.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    for (const figure of figures) {
      const best = { published: 0, consumed: 0 }
      for (let round = 0; round < bench.options.runs; round++) {
        const found = await measure(bench, figure)
        best.published = Math.max(best.published, found.published)
        best.consumed = Math.max(best.consumed, found.consumed)
      }
      rows.push(row(`${figure.what}: published`, best.published, figure.target))
      if (figure.exchange === '')
        rows.push(row(`${figure.what}: consumed and acknowledged`, best.consumed, figure.target))
      bench.log(`  ${figure.what}: ${format(best.published)} published, ${format(best.consumed)} consumed a second`)
    }
    return rows
  },
}

interface Figure {
  readonly what: string
  readonly queues: number
  readonly exchange: string
  readonly messages: number
  readonly target: number
  readonly settings?: Record<string, string>
  readonly isTransient?: boolean
}

const figures: readonly Figure[] = [
  { what: 'one queue', queues: 1, exchange: '', messages: 1_000_000, target: 300_000 },
  { what: '100 queues in turn', queues: 100, exchange: '', messages: 1_000_000, target: 200_000 },
  {
    what: 'one queue with ten priorities',
    queues: 1,
    exchange: '',
    messages: 500_000,
    target: 150_000,
    settings: { 'priority.max': '9' },
  },
  { what: 'one transient queue', queues: 1, exchange: '', messages: 500_000, target: 300_000, isTransient: true },
  { what: 'one message to 1,000 queues', queues: 1000, exchange: 'amq.fanout', messages: 1000, target: 100_000 },
]

const row = (what: string, value: number, target: number): Row => ({
  what,
  value: `${format(value)} msg/s`,
  reference: '–',
  target: `>= ${format(target)} msg/s`,
  met: value >= target,
  note: '',
})

interface Rates {
  published: number
  consumed: number
}

async function measure(bench: Bench, figure: Figure): Promise<Rates> {
  const directory = bench.freshDirectory()
  const broker = await startBroker({ data: directory })
  try {
    const { queues, router } = broker.core
    for (let index = 0; index < figure.queues; index++) {
      const settings = new Map(Object.entries(figure.settings ?? {}))
      await queues.declare(homeNamespace, nameOf(index), settings, { isDurable: figure.isTransient !== true })
      if (figure.exchange === '') continue
      const binding = { source: figure.exchange, kind: 'queue' as const, destination: nameOf(index), key: '' }
      await router.bind(homeNamespace, binding)
    }
    const count = Math.max(1, Math.round(figure.messages * Math.min(1, bench.options.scale)))
    const published = await perSecond(count * (figure.exchange === '' ? 1 : figure.queues), () =>
      publish(broker, figure, count),
    )
    const consumed = figure.exchange === '' ? await perSecond(count, () => consume(broker, figure, count)) : 0
    return { published, consumed }
  } finally {
    await broker.close()
    bench.remove(directory)
  }
}

const nameOf = (index: number): string => `queue-${index}`
const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

async function perSecond(count: number, work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return (count * 1000) / (performance.now() - startedAt)
}

const perTurn = 200
const undurableMax = 10_000

async function publish({ core: { router } }: RunningBroker, figure: Figure, count: number): Promise<void> {
  const { queues, exchange } = figure
  const value = Buffer.alloc(16, 'x')
  let sent = 0
  let done = 0
  const told = (): void => void done++
  const perRound = exchange === '' ? perTurn : 1
  while (done < count) {
    for (let left = perRound; left > 0 && sent < count && sent - done < undurableMax; left--, sent++) {
      const message = { value, priority: sent % 10 }
      router.publish({ namespace: homeNamespace, exchange, key: nameOf(sent % queues), message }, told)
    }
    await turn()
  }
}

async function consume({ core }: RunningBroker, figure: Figure, count: number): Promise<void> {
  let taken = 0
  const workers = Array.from({ length: figure.queues }, (_, index) => {
    const held: number[] = []
    const deliver = ({ offset }: { offset: number }): void => {
      held.push(offset)
      taken++
    }
    const subscription = core.queues.get(homeNamespace, nameOf(index))?.subscribe({ prefetch: 1000 }, { deliver })
    return { held, subscription }
  })
  for (let left = true; left || taken < count;) {
    left = false
    for (const { held, subscription } of workers) {
      for (const offset of held.splice(0)) {
        subscription?.ack(offset)
        left = true
      }
    }
    await turn()
  }
}
