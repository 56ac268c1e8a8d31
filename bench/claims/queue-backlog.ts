import { amqp } from '../harness/amqp.ts'
import { dragoman, format, type Bench, type Claim, type Row } from '../harness/bench.ts'

const messages = 100_000_000
const edge = 10_000_000
const bytes = 100
const rssMbMax = 400
const readyMsMax = 5000
const ratioMin = 0.8

export const claim: Claim = {
  title:
    'A queue with 100 million messages: under 400 MB resident, the last ten million in and out at 0.8 times the pace of the first at least, and a restart within 5 s.',
  method:
    'Persistent messages of 100 bytes into one durable queue by AMQP with confirms; then `kill -9`, a new start, and one consumer with a prefetch of 1,000 and an ack for each. Durability fsync. ' +
    'Resident is the highest (`VmHWM`) of each process.',
  async run(bench: Bench): Promise<Row[]> {
    const { scale } = bench.options
    const directory = bench.freshDirectory()
    const start = () => dragoman.start({ directory, durability: 'fsync', protocol: 'amqp' })
    const count = Math.round(messages * scale)
    const words = ['--count', count, '--edge', Math.round(edge * scale), '--size', bytes]
    let running = await start()
    try {
      const made = await amqp('publish', running, ...words)
      const filling = running.process.usage()
      bench.log(`  in: ${format(made['confirmedPerSecond'] ?? 0)} messages/s, ${format(filling.rssPeakMb)} MB at most`)
      await running.process.kill()
      running = await start()
      const { readyMs } = running.process
      const idle = running.process.usage()
      const taken = await amqp('consume', running, ...words)
      const draining = running.process.usage()
      bench.log(`  out: ${format(taken['ackedPerSecond'] ?? 0)} messages/s, ${format(draining.rssPeakMb)} MB at most`)
      const memory = (what: string, mb: number): Row => ({
        what,
        value: `${format(mb)} MB`,
        reference: '–',
        target: `< ${rssMbMax} MB`,
        met: mb < rssMbMax,
        note: '',
      })
      const pace = (what: string, report: Record<string, number>, whole: number): Row => {
        const [first, last] = [report['firstPerSecond'] ?? 0, report['lastPerSecond'] ?? 0]
        return {
          what: `${what}, last tenth`,
          value: `${format(last)} messages/s`,
          reference: `first tenth: ${format(first)} messages/s`,
          ratio: last / first,
          target: `≥ ${format(ratioMin)}`,
          met: last >= first * ratioMin,
          note: `${format(whole)} messages/s over all`,
        }
      }
      const size = `${format(count / 1e6)} million messages`
      return [
        pace('published', made, made['confirmedPerSecond'] ?? 0),
        memory(`resident while ${size} went in`, filling.rssPeakMb),
        {
          what: `start with ${size}`,
          value: `${format(readyMs)} ms`,
          reference: '–',
          target: `< ${format(readyMsMax / 1000)} s`,
          met: readyMs < readyMsMax,
          note: `after kill -9; ${format(idle.rssMb)} MB resident`,
        },
        pace('consumed', taken, taken['ackedPerSecond'] ?? 0),
        memory(`resident while ${size} went out`, draining.rssPeakMb),
      ]
    } finally {
      await running.process.stop()
      bench.remove(directory)
    }
  },
}
