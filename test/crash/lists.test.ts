import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { RespDriver } from '../../packages/broker/src/protocols/resp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { dragomanIsThere, startDragoman, type Dragoman } from '../support/dragoman.ts'

const { network } = realRuntime()
const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const rounds = 4
const clients = 4

const start = (data: string): Promise<Dragoman> => startDragoman({ data, protocol: 'resp' })

/** What one client has in its two lists and its counter. */
interface State {
  a: string[]
  b: string[]
  count: number
}

interface Step {
  /** Several are a transaction. */
  readonly commands: readonly (string | number)[][]
  readonly after: State
}

/** Something to do, and what becomes of it. */
function stepOf(random: Random, client: number, before: State, label: string): Step {
  const after: State = { a: [...before.a], b: [...before.b], count: before.count }
  const { a, b } = after
  const [keyA, keyB, counter] = [`a${client}`, `b${client}`, `n${client}`]
  const at = random.below(Math.max(1, a.length))
  const kind = a.length === 0 ? random.below(2) : random.below(9)
  switch (kind) {
    case 0:
      a.push(label, `${label}'`)
      return { commands: [['RPUSH', keyA, label, `${label}'`]], after }
    case 1:
      a.unshift(label)
      return { commands: [['LPUSH', keyA, label]], after }
    case 2:
      a.shift()
      return { commands: [['LPOP', keyA]], after }
    case 3:
      a.pop()
      return { commands: [['RPOP', keyA]], after }
    case 4:
      b.push(a.pop() ?? '')
      return { commands: [['LMOVE', keyA, keyB, 'RIGHT', 'RIGHT']], after }
    case 5:
      a[at] = label
      return { commands: [['LSET', keyA, at, label]], after }
    case 6:
      a.splice(at, 0, label)
      return { commands: [['LINSERT', keyA, 'BEFORE', before.a[at] ?? '', label]], after }
    case 7:
      a.push(label)
      b.unshift(label)
      after.count++
      return {
        commands: [
          ['RPUSH', keyA, label],
          ['LPUSH', keyB, label],
          ['INCR', counter],
        ],
        after,
      }
    default:
      a.splice(0, at)
      return { commands: [['LTRIM', keyA, at, -1]], after }
  }
}

const sent = ({ commands }: Step): readonly (string | number)[][] =>
  commands.length === 1 ? commands : [['MULTI'], ...commands, ['EXEC']]

/** Works until the broker is gone. Returns what there was, and what there is if the last step was taken. */
async function workUntilGone(
  port: number,
  client: number,
  from: State,
  random: Random,
  label: string,
): Promise<State[]> {
  const driver = await RespDriver.connect(network, { host: '127.0.0.1', port })
  let state = from
  for (let count = 0; ; count++) {
    const step = stepOf(random, client, state, `${label}-${count}`)
    const answers = sent(step).map(words => driver.text(...words))
    const ends = await Promise.allSettled(answers)
    if (ends.some(({ status }) => status === 'rejected')) return [state, step.after]
    state = step.after
  }
}

async function stateOf(driver: RespDriver, client: number): Promise<State> {
  const a = (await driver.text('LRANGE', `a${client}`, 0, -1)) as string[]
  const b = (await driver.text('LRANGE', `b${client}`, 0, -1)) as string[]
  return { a, b, count: Number(await driver.text('GET', `n${client}`)) }
}

test(
  `kill -9 under load leaves lists as they were answered, and transactions whole (SEED=${seed})`,
  { skip: !dragomanIsThere },
  async t => {
    const data = mkdtempSync(join(tmpdir(), 'dragoman-lists-'))
    t.after(() => rmSync(data, { recursive: true, force: true }))
    const random = new Random(seed)
    let possible: State[][] = Array.from({ length: clients }, () => [{ a: [], b: [], count: 0 }])
    for (let round = 0; round <= rounds; round++) {
      const { process: server, port } = await start(data)
      const driver = await RespDriver.connect(network, { host: '127.0.0.1', port })
      const present: State[] = []
      for (const [client, states] of possible.entries()) {
        const found = await stateOf(driver, client)
        const isExpected = states.some(state => JSON.stringify(state) === JSON.stringify(found))
        assert(isExpected, `client ${client}: ${JSON.stringify(found)} is none of ${JSON.stringify(states)}`)
        present.push(found)
      }
      driver.close()
      if (round === rounds) {
        assert(present.every(({ count }) => count > 0))
        await server.kill()
        break
      }
      const load = present.map((state, client) =>
        workUntilGone(port, client, state, new Random(random.u32()), `${round}-${client}`),
      )
      await new Promise(resolve => setTimeout(resolve, 700))
      await server.kill()
      possible = await Promise.all(load)
    }
  },
)
