import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { RespDriver } from '../../packages/broker/src/protocols/resp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'
import { underLoad } from './under-load.ts'

const { network } = realRuntime()
const rounds = 4

const start = (data: string): Promise<Dragoman> => startDragoman({ data, protocol: 'resp' })
const connect = (port: number): Promise<RespDriver> => RespDriver.connect(network, { host: '127.0.0.1', port })

/** What was answered about entries, by their ids; those on their way may be in either state. */
interface Known {
  readonly added: Map<string, string>
  /** Consumers that were given an entry and have not begun to acknowledge it. */
  readonly held: Map<string, string>
  readonly acked: Set<string>
  /** Asked for and not answered. */
  readonly doubtful: Set<string>
  readonly removed: Set<string>
}

async function addUntilGone(port: number, label: string, known: Known): Promise<void> {
  const driver = await connect(port)
  for (let number = 0; ; number += 8) {
    const adds = Array.from({ length: 8 }, async (_, at) => {
      const body = `${label}-${number + at}`
      known.added.set(String(await driver.text('XADD', 's', '*', 'body', body)), body)
    })
    if ((await Promise.allSettled(adds)).some(({ status }) => status === 'rejected')) return
  }
}

async function consumeUntilGone(port: number, name: string, known: Known): Promise<void> {
  const driver = await connect(port)
  try {
    for (let turn = 0; ; turn++) {
      const words = ['XREADGROUP', 'GROUP', 'g', name, 'COUNT', 5, 'BLOCK', 1000, 'STREAMS', 's', '>']
      const answer = (await driver.text(...words)) as [[string, [string, string[]][]]] | null
      const ids = answer?.[0][1].map(([id]) => id) ?? []
      for (const id of ids) known.held.set(id, name)
      for (const [at, id] of ids.entries()) {
        if ((turn + at) % 4 === 0) continue
        known.held.delete(id)
        known.doubtful.add(id)
        assert.equal(await driver.text('XACK', 's', 'g', id), 1)
        if ((turn + at) % 4 === 1) {
          assert.equal(await driver.text('XDEL', 's', id), 1)
          known.removed.add(id)
        }
        known.doubtful.delete(id)
        known.acked.add(id)
      }
    }
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error
  }
}

async function audit(driver: RespDriver, known: Known): Promise<void> {
  const entries = (await driver.text('XRANGE', 's', '-', '+')) as [string, string[]][]
  const bodies = new Map(entries.map(([id, [, body]]) => [id, body]))
  const rest = (await driver.text('XREADGROUP', 'GROUP', 'g', 'last', 'STREAMS', 's', '>')) as
    | [[string, [string, string[]][]]]
    | null
  const fresh = new Set(rest?.[0][1].map(([id]) => id))
  const rows = (await driver.text('XPENDING', 's', 'g', '-', '+', 1_000_000)) as [string, string][]
  const pending = new Map(rows.map(([id, holder]) => [id, holder]))
  for (const [id, body] of known.added) {
    if (known.removed.has(id)) assert(!bodies.has(id), `entry ${id} is back`)
    else if (!known.doubtful.has(id)) assert.equal(bodies.get(id), body, `entry ${id} is lost`)
    if (known.acked.has(id)) assert(!pending.has(id), `entry ${id} is pending again`)
    else if (known.held.has(id)) assert.equal(pending.get(id), known.held.get(id), `entry ${id} has lost its holder`)
    else if (!known.doubtful.has(id)) assert(fresh.has(id) || pending.has(id), `entry ${id} is with nobody`)
  }
}

test(
  'kill -9 under load loses no entry, no acknowledgement, and no holder of what is pending',
  { skip: !dragomanIsThere },
  async () => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-entries-'))
    const known: Known = {
      added: new Map(),
      held: new Map(),
      acked: new Set(),
      doubtful: new Set(),
      removed: new Set(),
    }
    for (let round = 0; round < rounds; round++) {
      const { process: server, port } = await start(data)
      const driver = await connect(port)
      await driver.ask('XGROUP', 'CREATE', 's', 'g', '0', 'MKSTREAM')
      const load = [1, 2, 3].map(n => addUntilGone(port, `${round}-${n}`, known))
      load.push(...['a', 'b'].map(name => consumeUntilGone(port, `${name}${round}`, known)))
      await underLoad(() => known.acked.size > 0 && known.held.size > 0 && known.removed.size > 0)
      await server.kill()
      await Promise.all(load)
    }
    const { process: server, port } = await start(data)
    const driver = await connect(port)
    await audit(driver, known)
    assert(known.acked.size > 0 && known.held.size > 0 && known.removed.size > 0)
    driver.close()
    await server.kill()
    rmSync(data, { recursive: true })
  },
)
