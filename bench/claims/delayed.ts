import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repository } from '../../test/support/dragoman.ts'
import { format, type Bench, type Claim, type Row } from '../harness/bench.ts'
import type { Report } from '../harness/tools.ts'

const bytes = 100
const perSecond = 1000
const seconds = 40

export const claim: Claim = {
  title:
    '100 million messages that are to be published within seven days: RSS under 400 MB, and each comes within 100 ms of its time.',
  method:
    `A broker in a process of its own takes messages of ${bytes} bytes with delays spread evenly over seven days, is stopped, and started again. Then ${perSecond} a ` +
    `second with delays of 1 to 20 seconds come on top for ${seconds} seconds, and a consumer compares the clock with the time that is in each message. Memory: the ` +
    'highest resident size (`VmHWM`) of all this, the publisher and the consumer included. Durability fsync. `--scale` says how many wait.',
  async run(bench: Bench): Promise<Row[]> {
    const count = Math.round(1e8 * bench.options.scale)
    const directory = bench.freshDirectory()
    const program = join(repository, 'bench', 'load', 'delayed-load.ts')
    const words = [program, directory, count, bytes, perSecond, seconds].map(String)
    const { stdout } = await promisify(execFile)(process.execPath, words)
    bench.remove(directory)
    const report = JSON.parse(stdout) as Report
    bench.log(`  ${stdout.trim()}`)
    const told = (name: string): string => format(report[name] ?? Number.NaN)
    const wait = `${format(count / 1e6)} million wait`
    return [
      {
        what: `resident memory, ${wait}`,
        value: `${told('rssPeakMb')} MB`,
        reference: '–',
        target: '< 400 MB',
        met: (report['rssPeakMb'] ?? Infinity) < 400,
        note: `${told('perSecond')} taken a second; started again in ${told('startMs')} ms`,
      },
      {
        what: `late, 99 of 100, ${wait}`,
        value: `${told('lateP99Ms')} ms`,
        reference: '–',
        target: '<= 100 ms',
        met: (report['lateP99Ms'] ?? Infinity) <= 100,
        note: `half of ${told('fired')} within ${told('lateP50Ms')} ms, all within ${told('lateMaxMs')} ms`,
      },
    ]
  },
}
