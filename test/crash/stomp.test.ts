import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { StompDriver } from '../../packages/broker/src/protocols/stomp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'
import { underLoad } from './under-load.ts'

const { network } = realRuntime()
const rounds = 4

const start = (data: string): Promise<Dragoman> => startDragoman({ data, protocol: 'stomp' })
const connect = (port: number): Promise<StompDriver> => StompDriver.connect(network, { host: '127.0.0.1', port })

/** What was confirmed by a receipt. What is under way when the broker ends may be in either state. */
interface Known {
  /** Sent to `in`. */
  readonly sent: Set<string>
  /** Taken from `in` and sent on to `out`, in one transaction. */
  readonly moved: Set<string>
}

async function sendUntilGone(driver: StompDriver, label: string, { sent }: Known): Promise<void> {
  for (let number = 0; ; number += 8) {
    const sends = Array.from({ length: 8 }, async (_, at) => {
      const body = `${label}-${number + at}`
      await driver.ask('SEND', { destination: '/queue/in', persistent: 'true' }, body)
      sent.add(body)
    })
    if ((await Promise.allSettled(sends)).some(({ status }) => status === 'rejected')) return
  }
}

/** Takes each message and sends it on; every third time it gives the message back instead. */
async function moveUntilGone(driver: StompDriver, { moved }: Known): Promise<void> {
  try {
    const subscription = { id: '1', destination: '/queue/in', ack: 'client-individual', 'prefetch-count': '4' }
    driver.send('SUBSCRIBE', subscription)
    for (let turn = 1; ; turn++) {
      const { headers, body } = await driver.message('1')
      const id = headers['ack'] ?? ''
      const transaction = String(turn)
      driver.send('BEGIN', { transaction })
      driver.send('SEND', { destination: '/queue/out', transaction }, body)
      driver.send('ACK', { id, transaction })
      if (turn % 3 === 0) {
        driver.send('ABORT', { transaction })
        await driver.ask('NACK', { id })
      } else {
        await driver.ask('COMMIT', { transaction })
        moved.add(body.toString())
      }
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
  }
}

/** All that a queue holds, which is taken. */
async function drain(port: number, queue: string): Promise<string[]> {
  const driver = await connect(port)
  await driver.ask('SEND', { destination: `/queue/${queue}` }, 'the end')
  await driver.ask('SUBSCRIBE', { id: '1', destination: `/queue/${queue}` })
  const bodies: string[] = []
  for (;;) {
    const body = (await driver.message('1')).body.toString()
    if (body === 'the end') break
    bodies.push(body)
  }
  driver.close()
  return bodies
}

test(
  'kill -9 under load loses nothing that has a receipt, and parts no transaction',
  { skip: !dragomanIsThere, timeout: 120_000 },
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-stomp-'))
    const known: Known = { sent: new Set(), moved: new Set() }
    for (let round = 0; round < rounds; round++) {
      const { process: server, port } = await start(data)
      const drivers = await Promise.all([1, 2, 3, 4, 5].map(() => connect(port)))
      const load = drivers.map((driver, n) =>
        n < 3 ? sendUntilGone(driver, `${round}-${n}`, known) : moveUntilGone(driver, known),
      )
      await underLoad(() => known.sent.size > 100 && known.moved.size > 20)
      await server.kill()
      await Promise.all(load)
    }
    const { process: server, port } = await start(data)
    const [left, out] = [await drain(port, 'in'), await drain(port, 'out')]
    await server.stop()
    rmSync(data, { recursive: true, force: true })
    assert(known.sent.size > 100 && known.moved.size > 20, `${known.sent.size} sent, ${known.moved.size} moved`)
    assert.equal(new Set(left).size, left.length, 'a message is there twice')
    assert.equal(new Set(out).size, out.length, 'a message was moved twice')
    const all = new Set([...left, ...out])
    assert.equal(all.size, left.length + out.length, 'a transaction was parted')
    for (const body of known.sent) assert(all.has(body), `${body} is lost`)
    const moved = new Set(out)
    for (const body of known.moved) assert(moved.has(body), `${body} was moved and is not there`)
  },
)
