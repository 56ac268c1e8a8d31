import { setTimeout as sleep } from 'node:timers/promises'
import { amqp } from '../harness/amqp.ts'
import { dragoman, format, type Bench, type Claim, type Row } from '../harness/bench.ts'
import { holdTool } from '../harness/tools.ts'
import type { Peer, Running } from '../peers/peer.ts'
import { rabbitmq } from '../peers/rabbitmq.ts'

const rssMbMax = 600
/** So many messages for each queue, after all are declared. */
const rounds = 10

interface Figures {
  declareSeconds: number
  rssMb: number
  rssPeakMb: number
  /** Messages per second over all queues, each confirmed. */
  pace: number
  acked: number
}

export const claim: Claim = {
  title: '10,000 queues with a consumer each, over 10 connections: under 600 MB resident.',
  method:
    'A raw generator declares durable classic queues by AMQP and consumes from each; then ten messages of 128 bytes go to every queue in turn, with confirms, and are acknowledged. ' +
    'Resident (`VmRSS`) is that after the last ack.',
  async run(bench: Bench): Promise<Row[]> {
    const queues = Math.round(10_000 * bench.options.scale)
    const use = (peer: Peer) =>
      bench.withBroker(peer, 'fsync', running => measure(bench, peer, running, queues), 'amqp')
    const ours = await use(dragoman)
    const [peer] = bench.peers([rabbitmq])
    const theirs = peer === undefined ? undefined : await use(peer)
    const text = (figures: Figures): string =>
      `${format(figures.rssMb)} MB; declared in ${format(figures.declareSeconds)} s; ${format(figures.pace)} messages/s`
    return [
      {
        what: `${queues} queues with a consumer each`,
        value: text(ours),
        reference: theirs === undefined ? '–' : `${rabbitmq.title('fsync')}: ${text(theirs)}`,
        target: `< ${rssMbMax} MB, every message acknowledged`,
        met: ours.rssMb < rssMbMax && ours.acked === queues * rounds,
        note: `peak ${format(ours.rssPeakMb)} MB`,
      },
    ]
  },
}

async function measure(bench: Bench, peer: Peer, running: Running, queues: number): Promise<Figures> {
  const words = ['--queue', 'q', '--queues', queues, '--size', 128]
  const held = await holdTool('amqp-raw', 'hold', '--port', running.port, '--conns', 10, ...words)
  const made = await amqp('publish', running, '--count', queues * rounds, ...words)
  await sleep(2000) // The last ones are on their way.
  const { rssMb, rssPeakMb } = running.process.usage()
  const { acked = 0 } = await held.end()
  bench.log(`  ${peer.title('fsync')}: ${format(rssMb)} MB, ${acked} of ${queues * rounds} acknowledged`)
  return {
    declareSeconds: held.first['seconds'] ?? Number.NaN,
    rssMb,
    rssPeakMb,
    pace: made['confirmedPerSecond'] ?? 0,
    acked,
  }
}
