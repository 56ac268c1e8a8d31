import { comparedRow, dragoman, format, type Bench, type Claim, type Row, type Side } from '../harness/bench.ts'
import { holdTool, runTool } from '../harness/tools.ts'
import { mosquitto } from '../peers/mosquitto.ts'
import type { Durability, Peer } from '../peers/peer.ts'

const idleConns = 10_000
const idleBytesMax = 20_000
const warmSeconds = 1

interface Work {
  readonly what: string
  readonly target: number
  readonly words: readonly (string | number)[]
  /** Of what they keep, where they keep anything. */
  readonly durability: Durability
}

const works: readonly Work[] = [
  { what: 'quality 0, 16 B, one to one', target: 0.7, words: ['--size', 16, '--window', 20_000], durability: 'memory' },
  {
    what: 'quality 0, 1 KiB, one to one',
    target: 0.8,
    words: ['--size', 1024, '--window', 4000],
    durability: 'memory',
  },
  {
    what: 'quality 0, 16 B, one to 100',
    target: 1,
    words: ['--size', 16, '--window', 1000, '--subscribers', 100],
    durability: 'memory',
  },
  {
    what: 'quality 1, 16 B, one to one, 1000 under way',
    target: 1,
    words: ['--size', 16, '--qos', 1, '--window', 1000],
    durability: 'memory',
  },
  {
    what: 'quality 1, 16 B, one to one, 1000 under way, to a session that is kept',
    target: 0.5,
    words: ['--size', 16, '--qos', 1, '--window', 1000, '--lasting', 1],
    durability: 'fsync',
  },
]

export const claim: Claim = {
  title: 'MQTT: messages from a publisher to subscribers, against Mosquitto; and the memory of idle connections.',
  method:
    'A raw generator of one thread, for `--seconds`, after a second of the same. What counts is what arrives. What is kept is synced here before it is acknowledged; ' +
    'Mosquitto never syncs.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const theirs = bench.peers([mosquitto])
    for (const work of works) {
      bench.log(` ${work.what}`)
      const [mine, other] = await bench.compare([dragoman, ...theirs].map(peer => side(bench, peer, work)))
      if (mine === undefined) continue
      const { what, target: atLeast, durability } = work
      const peer = mosquitto.title(durability)
      rows.push(comparedRow({ what, unit: 'messages/s', ours: mine, theirs: other, peer, atLeast }))
    }
    rows.push(await idle(bench))
    return rows
  },
}

function side(bench: Bench, peer: Peer, { words, durability }: Work): Side {
  const { seconds } = bench.options
  return {
    name: peer.title(durability),
    run: () =>
      bench.withBroker(
        peer,
        durability,
        async running => {
          const load = (forSeconds: number) =>
            runTool('mqtt-raw', 'flow', '--port', running.port, ...words, '--seconds', forSeconds)
          await load(warmSeconds)
          return bench.measure(
            running,
            () => load(seconds),
            report => report['takenPerSecond'] ?? 0,
          )
        },
        'mqtt',
      ),
  }
}

/** As many connections as a broker takes by default, but for those that others may have. */
async function idle(bench: Bench): Promise<Row> {
  const conns = idleConns - 100
  bench.log(` ${conns} idle connections`)
  const bytes = await bench.withBroker(
    dragoman,
    'memory',
    async ({ process: broker, port }) => {
      const before = broker.usage().rssMb
      const held = await holdTool('mqtt-raw', 'idle', '--port', port, '--conns', conns)
      const grown = broker.usage().rssMb - before
      await held.end()
      return (grown * 1e6) / conns
    },
    'mqtt',
  )
  return {
    what: `${conns} idle connections`,
    value: `${format(bytes / 1000)} KB each`,
    reference: '–',
    target: `< ${idleBytesMax / 1000} KB`,
    met: bytes < idleBytesMax,
    note: 'resident memory of the broker, before and with them',
  }
}
