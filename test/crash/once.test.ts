import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { AmqpDriver } from '../../packages/broker/src/protocols/amqp/driver.ts'
import { RespDriver } from '../../packages/broker/src/protocols/resp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'
import { underLoad } from './under-load.ts'

const { network } = realRuntime()
const rounds = 4
const host = '127.0.0.1'

interface Server {
  readonly dragoman: Dragoman
  port(name: string): number
  resp(): Promise<RespDriver>
}

async function start(data: string): Promise<Server> {
  const dragoman = await startDragoman({ data, protocol: 'all' })
  const port = (name: string): number => {
    const [found] = dragoman.process.lines.flatMap(line => new RegExp(`^${name}\\s+\\S+:(\\d+)`).exec(line)?.[1] ?? [])
    assert(found !== undefined, name)
    return Number(found)
  }
  return { dragoman, port, resp: () => RespDriver.connect(network, { host, port: port('resp') }) }
}

/** A stream that is fed to an exchange, and a list that is bound to it. */
async function prepare({ port, resp }: Server): Promise<void> {
  const driver = await resp()
  await driver.text('XGROUP', 'CREATE', 's', 'g', 0, 'MKSTREAM')
  await driver.text('XCFGSET', 's', 'IDMP-DURATION', 86_400, 'IDMP-MAXSIZE', 10_000)
  driver.close()
  const amqp = await AmqpDriver.connect(network, { host, port: port('amqp') })
  const channel = await amqp.channel()
  await channel.declare('q')
  await channel.bind('q', 'amq.topic', '#')
  amqp.destroy()
  const answer = await fetch(`http://${host}:${port('management')}/api/parameters/feed/%2F/f`, {
    method: 'PUT',
    headers: { authorization: `Basic ${Buffer.from('guest:guest').toString('base64')}` },
    body: JSON.stringify({ value: { topic: 's', exchange: 'amq.topic' } }),
  })
  assert.equal(answer.status, 201)
}

/** Sends each entry until it is answered. What it does not know of after a crash, it sends again. */
class Producer {
  readonly name: string
  next = 0

  constructor(name: string) {
    this.name = name
  }

  async untilGone(driver: RespDriver): Promise<void> {
    const batch = 8
    for (;;) {
      const adds = Array.from({ length: batch }, (_, at) => {
        const body = `${this.name}-${this.next + at}`
        return driver.text('XADD', 's', 'IDMP', this.name, body, '*', 'key', 'a.b', 'body', body)
      })
      if ((await Promise.allSettled(adds)).some(({ status }) => status === 'rejected')) return
      this.next += batch
    }
  }
}

/** The bodies, each of which is there once. */
function onceEach(bodies: readonly string[], where: string): Set<string> {
  const found = new Set(bodies)
  assert.equal(found.size, bodies.length, `something is twice in the ${where}`)
  return found
}

async function audit(driver: RespDriver, producers: readonly Producer[]): Promise<void> {
  const entries = (await driver.text('XRANGE', 's', '-', '+')) as [string, string[]][]
  const inStream = onceEach(
    entries.map(([, fields]) => fields[3] ?? ''),
    'stream',
  )
  for (const { name, next } of producers) {
    assert(next > 0)
    for (let number = 0; number < next; number++) assert(inStream.has(`${name}-${number}`), `${name}-${number} is lost`)
  }
  const deadline = Date.now() + 30_000
  while ((await driver.text('LLEN', 'q')) !== inStream.size && Date.now() < deadline) {
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const inList = onceEach((await driver.text('LRANGE', 'q', 0, -1)) as string[], 'list')
  assert.deepEqual([...inList].sort(), [...inStream].sort())
}

test(
  'kill -9 under load: what producers send again is in a stream once, and its feed publishes it once',
  { skip: !dragomanIsThere },
  async t => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-once-'))
    let server: Server | undefined
    t.after(async () => {
      await server?.dragoman.process.kill()
      rmSync(data, { recursive: true })
    })
    const producers = [1, 2, 3].map(number => new Producer(`p${number}`))
    for (let round = 0; round < rounds; round++) {
      const running = (server = await start(data))
      if (round === 0) await prepare(running)
      const load = producers.map(async producer => producer.untilGone(await running.resp()))
      await underLoad(() => producers.every(({ next }) => next > 0))
      await running.dragoman.process.kill()
      await Promise.all(load)
    }
    server = await start(data)
    const driver = await server.resp()
    await audit(driver, producers)
    driver.close()
  },
)
