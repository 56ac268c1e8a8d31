import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { BeanstalkDriver } from '../../packages/broker/src/protocols/beanstalk/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'
import { underLoad } from './under-load.ts'

const { network } = realRuntime()
const rounds = 4

const start = (data: string): Promise<Dragoman> => startDragoman({ data, protocol: 'beanstalk' })

/** What was answered about jobs; those on their way may be in either state. */
interface Known {
  readonly inserted: Map<number, string>
  readonly deleted: Set<number>
  /** Asked for and not answered. */
  readonly deleting: Set<number>
}

const ready = { priority: 5, delay: 0 }
const kinds = [ready, { priority: 5, delay: 0 }, { priority: 1, delay: 0 }, { priority: 7, delay: 1000 }]

async function putUntilGone(port: number, label: string, known: Known): Promise<void> {
  const driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port })
  for (let number = 0; ; number += 8) {
    const puts = Array.from({ length: 8 }, async (_, at) => {
      const body = `${label}-${number + at}`
      const { priority, delay } = kinds[at % kinds.length] ?? ready
      const { line } = await driver.ask(`put ${priority} ${delay} 60 ${body.length}`, body)
      known.inserted.set(Number(/^INSERTED (\d+)$/.exec(line)?.[1]), body)
    })
    if ((await Promise.allSettled(puts)).some(({ status }) => status === 'rejected')) return
  }
}

async function workUntilGone(port: number, known: Known): Promise<void> {
  const driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port })
  try {
    for (let turn = 0; ; turn++) {
      const { line } = await driver.ask('reserve')
      const id = Number(line.split(' ')[1])
      if (turn % 5 === 0) await driver.ask(`bury ${id} 3`)
      else if (turn % 3 === 0) await driver.ask(`release ${id} 9 0`)
      else {
        known.deleting.add(id)
        assert.equal((await driver.ask(`delete ${id}`)).line, 'DELETED')
        known.deleting.delete(id)
        known.deleted.add(id)
      }
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
  }
}

test(
  'kill -9 under load loses no job that was inserted, and brings none back that was deleted',
  { skip: !dragomanIsThere },
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-jobs-'))
    const known: Known = { inserted: new Map(), deleted: new Set(), deleting: new Set() }
    for (let round = 0; round < rounds; round++) {
      const { process: server, port } = await start(data)
      const before = known.deleted.size
      const load = [1, 2, 3].map(n => putUntilGone(port, `${round}-${n}`, known))
      load.push(workUntilGone(port, known), workUntilGone(port, known))
      await underLoad(() => known.deleted.size > before)
      await server.kill()
      await Promise.all(load)
    }
    const { process: server, port } = await start(data)
    const driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port })
    const ids = [...known.inserted.keys()]
    const answers = await Promise.all(ids.map(id => driver.ask(`peek ${id}`)))
    for (const [at, id] of ids.entries()) {
      const body = answers[at]?.body
      if (known.deleted.has(id)) assert.equal(body, undefined, `job ${id} is back`)
      else if (!known.deleting.has(id)) assert.equal(String(body), known.inserted.get(id), `job ${id} is lost`)
    }
    assert(known.deleted.size > 0 && ids.length > known.deleted.size)
    driver.close()
    await server.kill()
    rmSync(data, { recursive: true })
  },
)
