import {
  cost,
  createTopics,
  dragoman,
  format,
  mb,
  spread,
  type Bench,
  type Claim,
  type Row,
  type Side,
} from '../harness/bench.ts'
import type { Durability } from '../peers/peer.ts'

const restartMsMax = 10_000
const durability: Durability = 'fsync'

/** Batches as many small producers make them, and as one large pipeline does. */
const batches = [
  { name: '16 KiB batches', words: ['--batch-bytes', 16_576, '--conns', 4, '--window', 16] },
  { name: '128 KiB batches', words: ['--batch-bytes', 131_072, '--conns', 4, '--window', 8] },
]

export const claim: Claim = {
  title:
    'With 10,000 topics on one disk, produce round robin over all is within 3 times of one topic, and a restart takes under 10 s.',
  method:
    'Raw generator, 1 KiB records, acks=all, durability fsync; each request goes to the next topic. The broker is killed before the restart.',
  async run(bench: Bench): Promise<Row[]> {
    const topics = Math.round(10_000 * bench.options.scale)
    const directory = bench.freshDirectory()
    const rows: Row[] = []
    let running = await dragoman.start({ directory, durability })
    const names = Array.from({ length: topics }, (_, index) => `t${index}`)
    const createdAt = performance.now()
    await createTopics(running.address, ['one', ...names])
    bench.log(`  ${topics} topics created in ${format((performance.now() - createdAt) / 1e3)} s`)
    for (const batch of batches) {
      const side = (name: string, words: (string | number)[]): Side => ({
        name,
        run: () =>
          bench.measure(
            running,
            () => bench.raw('produce', running, ...words, ...batch.words, '--seconds', bench.options.seconds),
            mb,
          ),
      })
      const [one, all] = await bench.compare([
        side('one topic', ['--topic', 'one']),
        side(`${topics} topics`, ['--topic', 't', '--topics', topics]),
      ])
      if (one === undefined || all === undefined) continue
      rows.push({
        what: `${topics} topics round robin, ${batch.name}`,
        value: spread(all, 'MB/s'),
        reference: `one topic ${spread(one, 'MB/s')}`,
        ratio: all.median / one.median,
        target: '≥ 0.33',
        met: all.median * 3 >= one.median,
        note: cost(all),
      })
    }
    await running.process.kill()
    running = await dragoman.start({ directory, durability })
    const restartMs = running.process.readyMs
    await running.process.stop()
    bench.remove(directory)
    rows.push({
      what: `restart with ${topics} topics`,
      value: `${format(restartMs)} ms`,
      reference: '–',
      target: '< 10 s',
      met: restartMs < restartMsMax,
      note: 'after kill -9',
    })
    return rows
  },
}
