import { comparedRow, dragoman, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { runTool } from '../harness/tools.ts'
import { activemq } from '../peers/activemq.ts'
import type { Peer } from '../peers/peer.ts'

const target = 10
const warmSeconds = 5

interface Work {
  readonly what: string
  readonly mode: 'send' | 'flow'
  readonly size: number
  readonly conns: number
  readonly window: number
  readonly unit: string
}

const works: readonly Work[] = [
  ...[16, 1024].map((size): Work => {
    const what = `send, ${size} B, 50 connections that wait for each receipt`
    return { what, mode: 'send', size, conns: 50, window: 1, unit: 'messages/s' }
  }),
  ...[16, 1024].map((size): Work => {
    const what = `send, ${size} B, 10 connections with 100 receipts under way each`
    return { what, mode: 'send', size, conns: 10, window: 100, unit: 'messages/s' }
  }),
  ...[16, 1024].map((size): Work => {
    const what = `end to end, ${size} B, 5 senders (1000 receipts under way each) and 5 receivers, an ACK for each message`
    return { what, mode: 'flow', size, conns: 10, window: 1000, unit: 'messages/s' }
  }),
]

export const claim: Claim = {
  title: `STOMP: persistent messages with receipts, and end to end: at least ${target} times ActiveMQ.`,
  method:
    `A raw generator of one thread, for \`--seconds\`, after ${warmSeconds} s of both at once. Both have their logs on the same disk and answer when a message is synced. ` +
    'End to end, what counts is what was acknowledged, one by one.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const theirs = bench.peers([activemq])
    for (const work of works) {
      bench.log(` ${work.what}`)
      const results = await bench.compare([dragoman, ...theirs].map(peer => side(bench, peer, work)))
      const [mine, other] = results
      if (mine === undefined) continue
      const { what, unit } = work
      rows.push(comparedRow({ what, unit, ours: mine, theirs: other, peer: activemq.title('fsync'), atLeast: target }))
    }
    return rows
  },
}

function side(bench: Bench, peer: Peer, { mode, size, conns, window }: Work): Side {
  const { seconds } = bench.options
  return {
    name: peer.title('fsync'),
    run: () =>
      bench.withBroker(
        peer,
        'fsync',
        async running => {
          const load = (what: string, forSeconds: number) =>
            runTool(
              'stomp-raw',
              ...[what, '--port', running.port, '--size', size, '--conns', conns, '--window', window],
              ...['--queues', 5, '--seconds', forSeconds],
            )
          await load('flow', warmSeconds)
          return bench.measure(
            running,
            () => load(mode, seconds),
            report => (mode === 'send' ? report['sentPerSecond'] : report['takenPerSecond']) ?? 0,
          )
        },
        'stomp',
      ),
  }
}
