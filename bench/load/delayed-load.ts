import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBroker, type RunningBroker } from '../../packages/broker/src/main.ts'

/**
 * A broker in this process holds `count` messages of `bytes` that are due within the next seven days. It is stopped and started again; then
 * `rate` messages a second with delays of 1 to 20 seconds are handed in, too, and a consumer notes how late each one comes. Prints one JSON line.
 *
 *   delayed-load.ts DIRECTORY COUNT BYTES RATE SECONDS
 */
const [directory = '', count, bytes, rate, seconds] = process.argv.slice(2)
const week = 7 * 86_400_000
const together = 500
const key = Buffer.from('due')

/** The time at which it is due is in the body. */
function post({ core }: RunningBroker, delayMs: number, size: number): number {
  const value = Buffer.alloc(Math.max(8, size))
  value.writeDoubleBE(Date.now() + delayMs, 0)
  const { error, seq } = core.delayed.post(
    { namespace: '/', exchange: '', key: 'due', message: { key, value } },
    delayMs,
  )
  if (error !== undefined) throw new Error(`A message was refused: ${error}`)
  return seq
}

const durable = ({ core }: RunningBroker, seq: number): Promise<void> =>
  new Promise(resolve => core.router.whenDurable(seq, resolve, undefined))

async function fill(broker: RunningBroker): Promise<number> {
  const startedAt = performance.now()
  let seq = -1
  for (let left = Number(count); left > 0; left -= together) {
    for (let each = Math.min(left, together); each > 0; each--) {
      seq = post(broker, 60_000 + Math.random() * week, Number(bytes))
    }
    await durable(broker, seq)
  }
  return Number(count) / ((performance.now() - startedAt) / 1000)
}

/** How late messages came, ascending. */
async function fire(broker: RunningBroker): Promise<number[]> {
  const late: number[] = []
  const deliver = ({ value }: { value: Buffer | null }): void => {
    if (value) late.push(Date.now() - value.readDoubleBE(0))
  }
  const subscription = broker.core.queues.get('/', 'due')?.subscribe({ settled: true }, { deliver })
  const startedAt = performance.now()
  let posted = 0
  for (let passed = 0; passed < Number(seconds); passed = (performance.now() - startedAt) / 1000) {
    for (const wanted = passed * Number(rate); posted < wanted; posted++) {
      post(broker, 1000 + Math.random() * 19_000, Number(bytes))
    }
    await sleep(5)
  }
  await sleep(21_000)
  subscription?.cancel()
  return late.sort((a, b) => a - b)
}

const options = { data: directory, logLevel: 'warn' } as const
let broker = await startBroker(options)
await broker.core.queues.declare('/', 'due')
const perSecond = await fill(broker)
await broker.close()
const stoppedAt = performance.now()
broker = await startBroker(options)
const startMs = performance.now() - stoppedAt
const waiting = broker.core.delayed.count
broker.core.queues.get('/', 'due')?.purge()
const late = await fire(broker)
await broker.close()
const share = (part: number): number => late[Math.min(late.length - 1, Math.floor(late.length * part))] ?? Number.NaN
const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
process.stdout.write(
  `${JSON.stringify({
    perSecond,
    startMs,
    waiting,
    fired: late.length,
    lateP50Ms: share(0.5),
    lateP99Ms: share(0.99),
    lateMaxMs: share(1),
    earlyMaxMs: -share(0),
    rssPeakMb: Number(peak?.[1]) / 1000,
  })}\n`,
)
