import { Kafka, logLevel } from 'kafkajs'
import { startDragoman, type Dragoman } from '../../test/support/dragoman.ts'
import { createTopics, format, type Bench, type Claim, type Row } from '../harness/bench.ts'
import type { Report } from '../harness/tools.ts'

const lateMs = 20
const lateShareMax = 0.01
const rssMbMax = 400
const recordBytes = 1024
/** A load goes on in pieces of this length, until the compaction has ended. */
const pieceSeconds = 5
const piecesMax = 120
/** Records that may be left beside the newest of each key: none but what was younger than the pass. */
const surplusMax = 1000

interface Piece {
  p50: number
  p99: number
  timed: number
  late: number
}

export const claim: Claim = {
  title:
    'A topic of 5 GB with 1 million live keys is compacted while another is written to at half speed, durability fsync: 99 % ' +
    'of the records are acknowledged within 20 ms, and the broker takes less than 400 MB.',
  method:
    'librdkafka, acks=all, linger 5 ms, 1 KiB records with keys, each of 1 million keys five times; the topic is then set to ' +
    'compact, and another gets half the records a second that one producer can write to it. Latency is from handing a record to ' +
    'the client to its acknowledgement, of all records from the start of the compaction to its end; the worst 5 s stand beside. Memory is ' +
    '`VmHWM` at the end. `--scale` makes topic and keys smaller.',
  async run(bench: Bench): Promise<Row[]> {
    const directory = bench.freshDirectory()
    const args = ['--retention-check-interval', '1s']
    const broker = await startDragoman({ data: directory, durability: 'fsync', args })
    try {
      return await measure(bench, broker)
    } finally {
      await broker.process.stop()
      bench.remove(directory)
    }
  },
}

async function measure(bench: Bench, broker: Dragoman): Promise<Row[]> {
  const records = Math.round((5e9 / recordBytes) * bench.options.scale)
  const keys = Math.round(1e6 * bench.options.scale)
  await createTopics(broker.address, ['compacted', 'other'])
  const produce = (topic: string, ...words: (string | number)[]): Promise<Report> =>
    bench.librdkafka('produce', broker, '--topic', topic, '--size', recordBytes, ...words)
  await produce('compacted', '--count', records, '--keys', keys)
  const full = await produce('other', '--seconds', pieceSeconds)
  const rate = Math.round((full['recordsPerSecond'] ?? 0) / 2)
  const piece = async (): Promise<Piece> => {
    const report = await produce('other', '--seconds', pieceSeconds, '--rate', rate, '--late-ms', lateMs)
    bench.log(`  ${format(report['mbPerSecond'] ?? 0)} MB/s: p50 ${report['p50Ms']}, p99 ${report['p99Ms']} ms`)
    const { p50Ms = Number.NaN, p99Ms = Number.NaN, timed = 0, late = Number.NaN } = report
    return { p50: p50Ms, p99: p99Ms, timed, late }
  }
  await piece()
  const before = await piece()
  const startedAt = performance.now()
  await setCompact(broker.address, 'compacted')
  const pieces: Piece[] = []
  while (!isCompacted(broker) && pieces.length < piecesMax) pieces.push(await piece())
  const seconds = (performance.now() - startedAt) / 1e3
  const line = broker.process.errorLines.find(text => text.includes('Compacted')) ?? 'no compaction'
  bench.log(`  ${line}`)
  const { rssPeakMb } = broker.process.usage()
  const words = ['--topic', 'compacted', '--count', records, '--seconds', 60 * bench.options.scale + 5]
  const left = (await bench.librdkafka('consume', broker, ...words))['records'] ?? 0
  const isRight = isCompacted(broker) && left <= keys + surplusMax
  const worst = Math.max(...pieces.map(({ p99 }) => p99))
  const lateShare = lateShareOf(pieces)
  const note = `${format(seconds)} s; ${left} of ${records} records left for ${keys} keys${isRight ? '' : ': not compacted'}`
  const percent = (share: number): string => `${format(100 * share)} % later than ${lateMs} ms`
  const reference = `without compaction: ${percent(lateShareOf([before]))}; p50 ${format(before.p50)}, p99 ${format(before.p99)} ms`
  const p50 = Math.max(...pieces.map(piece => piece.p50))
  return [
    {
      what: `acknowledged while compacting, ${format((rate * recordBytes) / 1e6)} MB/s`,
      value: `${percent(lateShare)}; worst 5 s: p50 ${format(p50)}, p99 ${format(worst)} ms`,
      reference,
      target: `99 % within ${lateMs} ms`,
      met: isRight && lateShare < lateShareMax,
      note,
    },
    {
      what: 'resident memory at its highest',
      value: `${format(rssPeakMb)} MB`,
      reference: '–',
      target: `< ${rssMbMax} MB`,
      met: isRight && rssPeakMb < rssMbMax,
      note,
    },
  ]
}

function lateShareOf(pieces: readonly Piece[]): number {
  const sum = (count: (piece: Piece) => number): number => pieces.reduce((total, piece) => total + count(piece), 0)
  return sum(({ late }) => late) / sum(({ timed }) => timed)
}

/** `ConfigResourceTypes.TOPIC`, which kafkajs does not export to ECMAScript modules. */
const topicResource = 2

const isCompacted = (broker: Dragoman): boolean => broker.process.errorLines.some(text => text.includes('Compacted'))

async function setCompact(address: string, topic: string): Promise<void> {
  const admin = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const configEntries = [{ name: 'cleanup.policy', value: 'compact' }]
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: topicResource, name: topic, configEntries }],
  })
  await admin.disconnect()
}
