import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { createTopics, dragoman, spread, type Bench, type Claim, type Row, type Result } from '../harness/bench.ts'
import { backlog } from '../harness/backlog.ts'

const starts = 7

/** Runs in a process of its own: the first start pays for loading the modules, the later ones show the broker's own part. */
const embedded = `
  const { startBroker } = await import('@dragoman/broker')
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
  method: `Processes are timed from spawn to their ready line, ${starts} times each; embedded brokers from the call of \`startBroker\` to its result, with compiled code in Node's cache (from the sources, without it, the first one in a process takes 60 to 100 ms).`,
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
    const processes = [dragoman, ...bench.peers()].map(peer => ({
      name: `${peer.name}, empty directory`,
      run: async () => ({ value: await bench.withBroker(peer, 'os', async running => running.process.readyMs) }),
    }))
    const [empty, kafka] = await bench.compare(processes, starts)
    if (empty !== undefined)
      add('process, empty directory', empty, 400, kafka === undefined ? '–' : `Kafka ${spread(kafka, 'ms')}`)

    const memory = {
      name: 'memory',
      run: async () => ({ value: await bench.withBroker(dragoman, 'memory', async r => r.process.readyMs) }),
    }
    const [inMemory] = await bench.compare([memory], starts)
    if (inMemory !== undefined) add('process, memory (Node itself included)', inMemory, 400)

    // The sources are TypeScript, and what is published is not: the cache holds them as they would be loaded then.
    const cache = { ...process.env, NODE_COMPILE_CACHE: join(bench.root, 'compiled') }
    const startEmbedded = (): number[] => {
      const words = ['--input-type=module', '-e', embedded]
      return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8', env: cache })) as number[]
    }
    startEmbedded()
    const firsts: number[] = []
    let times: number[] = []
    for (let i = 0; i < starts; i++) {
      times = startEmbedded()
      firsts.push(times[0] ?? Number.NaN)
    }
    const result = (name: string, values: number[]): Result => {
      const sorted = values.toSorted((a, b) => a - b)
      return {
        name,
        samples: [],
        median: sorted[sorted.length >> 1] ?? Number.NaN,
        min: sorted[0] ?? Number.NaN,
        max: sorted.at(-1) ?? Number.NaN,
      }
    }
    add('embedded in memory, first in its process', result('first', firsts), 50)
    add('embedded in memory, later ones', result('later', times.slice(1)), 50)
    add(`process, ${bench.options.scale * 10} GB directory`, await large(bench), 2000)
    return rows
  },
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
