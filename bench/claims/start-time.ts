import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import {
  createTopics,
  dragoman,
  spread,
  summarize,
  type Bench,
  type Claim,
  type Row,
  type Result,
} from '../harness/bench.ts'
import { backlog } from '../harness/backlog.ts'
import { publish } from '../harness/published.ts'
import { wholeDragoman } from '../peers/dragoman.ts'
import type { Durability, Peer } from '../peers/peer.ts'
import { repository } from '../../test/support/dragoman.ts'

const starts = 7

/** Runs in a process of its own: the first start pays for what is loaded only now, the later ones show the broker's own part. */
const embedded = (broker: string): string => `
  const { startBroker } = await import(${JSON.stringify(pathToFileURL(broker).href)})
  const times = []
  for (let i = 0; i < ${starts}; i++) {
    const startedAt = performance.now()
    const broker = await startBroker({ data: 'memory', kafka: 0 })
    times.push(performance.now() - startedAt)
    await broker.close()
  }
  console.log(JSON.stringify(times))
`

export const claim: Claim = {
  title:
    'Start to `ready`: an empty directory under 400 ms, in memory under 50 ms (embedded), a directory of 10 GB under 2 s.',
  method:
    `Processes are timed from spawn to their ready line, ${starts} times each, with all listeners and with compiled code in the cache that ` +
    'the command keeps; as published (`npm run build`), and beside it from the sources, as `npm start` runs them. Embedded brokers are timed from the call of ' +
    '`startBroker` to its result; as published without a cache of compiled code, from the sources with one.',
  async run(bench: Bench): Promise<Row[]> {
    const rows: Row[] = []
    const add = (what: string, result: Result, limitMs: number, reference = '–'): void => {
      const row = {
        what,
        value: spread(result, 'ms'),
        reference,
        target: `< ${limitMs} ms`,
        met: result.median < limitMs,
        note: '',
      }
      rows.push(row)
    }
    const published = publish(bench)
    const start = (peer: Peer, durability: Durability) => ({
      name: `${peer.name}, ${durability === 'memory' ? 'memory' : 'empty directory'}`,
      run: async () => ({ value: await bench.withBroker(peer, durability, async running => running.process.readyMs) }),
    })
    const ours = [wholeDragoman(published.main), wholeDragoman()]
    // The first start of each compiles, and leaves the compiled code to those that are measured.
    for (const peer of ours) await start(peer, 'memory').run()
    const [empty, emptySource, kafka] = await bench.compare(
      [...ours, ...bench.peers()].map(peer => start(peer, 'os')),
      starts,
    )
    const beside = kafka === undefined ? '–' : `Kafka ${spread(kafka, 'ms')}`
    if (empty !== undefined) add('process, empty directory', empty, 400, beside)
    if (emptySource !== undefined) add('process, empty directory, from the sources', emptySource, 400, beside)
    const [memory] = await bench.compare(
      ours.slice(0, 1).map(peer => start(peer, 'memory')),
      starts,
    )
    if (memory !== undefined) add('process, memory (Node itself included)', memory, 400)
    const [first, firstSource, later] = await embeddedStarts(bench, published.broker)
    add('embedded in memory, first in its process', first, 50, `from the sources ${spread(firstSource, 'ms')}`)
    add('embedded in memory, later ones', later, 50)
    add(`process, ${bench.options.scale * 10} GB directory`, await large(bench), 2000)
    return rows
  },
}

/** The first ones of processes as published and from the sources, in turn, and the later ones as published. */
async function embeddedStarts(bench: Bench, broker: string): Promise<[Result, Result, Result]> {
  const source = join(repository, 'packages', 'broker', 'src', 'index.ts')
  const cache = { NODE_COMPILE_CACHE: join(bench.root, 'compiled') }
  const later: number[] = []
  const timesOf = (file: string, env: Record<string, string>): number[] => {
    const words = ['--input-type=module', '-e', embedded(file)]
    const said = execFileSync(process.execPath, words, { encoding: 'utf8', env: { ...process.env, ...env } })
    return JSON.parse(said) as number[]
  }
  timesOf(source, cache)
  const sides = [
    {
      name: 'embedded, as published',
      async run() {
        const [value = Number.NaN, ...rest] = timesOf(broker, {})
        later.push(...rest)
        return { value }
      },
    },
    { name: 'embedded, from the sources', run: async () => ({ value: timesOf(source, cache)[0] ?? Number.NaN }) },
  ]
  const [first, firstSource] = await bench.compare(sides, starts)
  const none = summarize('', [])
  return [
    first ?? none,
    firstSource ?? none,
    summarize(
      'later',
      later.map(value => ({ value })),
    ),
  ]
}

async function large(bench: Bench): Promise<Result> {
  const directory = bench.freshDirectory()
  const first = await dragoman.start({ directory, durability: 'os' })
  await createTopics(first.address, ['bench'], 8)
  await backlog(bench, first, 'bench', Math.round((1e10 / 1024) * bench.options.scale), 8)
  // Killed, not stopped: the start has a journal to replay, as after a crash.
  await first.process.kill()
  const side = {
    name: 'large directory',
    async run() {
      const running = await dragoman.start({ directory, durability: 'os' })
      const value = running.process.readyMs
      await running.process.kill()
      return { value }
    },
  }
  const [result] = await bench.compare([side], 3)
  bench.remove(directory)
  return result ?? { name: '', samples: [], median: Number.NaN, min: Number.NaN, max: Number.NaN }
}
