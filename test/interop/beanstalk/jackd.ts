import assert from 'node:assert/strict'
import Jackd from 'jackd'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../../support/dragoman.ts'
import { fresh, runChecks, type Check, type Client, type Place } from '../suite.ts'

/** Its module is CommonJS: the class is the member `default` of what is imported, or all of it. */
const JackdClient = ((Jackd as unknown as { default?: unknown }).default ?? Jackd) as typeof Jackd.default

type Connection = InstanceType<typeof JackdClient>

export const jackd: Client = {
  name: 'jackd',
  pinned: '2.2.2',
  from: 'npm',
  missing: () => undefined,
  version() {
    const file = join(repository, 'node_modules', 'jackd', 'package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  },
  run: (place, report) => runChecks(checks(place), report),
}

type Use = (...clients: Connection[]) => Promise<void>

function checks(place: Place): Check[] {
  const check = (name: string, count: number, use: Use): Check => ({
    capability: `test: ${name}`,
    run: () => withClients(place, count, use),
  })
  return [
    check('priorities, delay, delete', 2, order),
    check('bury, kick, release, touch', 1, states),
    check('a worker that leaves', 3, leaving),
  ]
}

async function withClients(place: Place, count: number, use: Use): Promise<void> {
  const [host = '', port = ''] = place.address.split(':')
  const tube = fresh('tube')
  const clients = await Promise.all(
    Array.from({ length: count }, () => new JackdClient().connect({ host, port: Number(port) })),
  )
  try {
    for (const client of clients) {
      await client.use(tube)
      await client.watch(tube)
      await client.ignore('default')
    }
    await use(...clients)
  } finally {
    for (const client of clients) client.socket.destroy()
  }
}

const order: Use = async (producer, worker) => {
  assert(producer && worker)
  await producer.put('later', { delay: 1, priority: 0 })
  await producer.put('second', { priority: 20 })
  await producer.put('first', { priority: 10 })
  for (const wanted of ['first', 'second', 'later']) {
    const job = await worker.reserve()
    assert.equal(job.payload.toString(), wanted)
    await worker.delete(job.id)
    await assert.rejects(worker.peek(job.id))
  }
}

const states: Use = async client => {
  assert(client)
  const id = await client.put('a\r\nb\0ä')
  const job = await client.reserve()
  assert.equal(job.payload.toString(), 'a\r\nb\0ä')
  await client.touch(id)
  await client.bury(id, 5)
  assert.equal((await client.peekBuried()).id, id)
  assert.equal(Number(await client.kick(10)), 1)
  await client.reserve()
  await client.release(id, { priority: 1, delay: 0 })
  assert.equal((await client.reserveWithTimeout(0)).id, id)
  await client.delete(id)
  await assert.rejects(client.reserveWithTimeout(0))
}

const leaving: Use = async (producer, worker, next) => {
  assert(producer && worker && next)
  const id = await producer.put('job')
  assert.equal((await worker.reserve()).id, id)
  const waiting = next.reserve()
  worker.socket.destroy()
  assert.equal((await waiting).id, id)
  await next.delete(id)
}
