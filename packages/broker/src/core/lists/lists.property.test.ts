import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { startBroker, type RunningBroker } from '../../main.ts'
import { NotLoaded } from './elements.ts'
import type { List, Side } from './list.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)

/** Does it again when something had to be read first. */
async function loaded<T>(run: () => T): Promise<T> {
  for (;;) {
    try {
      return run()
    } catch (error) {
      if (!(error instanceof NotLoaded)) throw error
      await new Promise<void>(resolve => error.load(resolve))
    }
  }
}

const texts = (values: readonly Buffer[]): string[] => values.map(String)
const all = (list: List): Promise<string[]> => loaded(() => texts(list.valuesOf(list.offsets('left', list.length))))

/** One random step on a list, and the same on an array. */
async function step(random: Random, list: List, model: string[], next: () => string): Promise<void> {
  const side: Side = random.pick(['left', 'right'])
  const at = random.below(Math.max(1, model.length))
  const kind = random.below(model.length > 40 ? 12 : 8)
  if (kind < 4) {
    const values = Array.from({ length: 1 + random.below(3) }, next)
    list.push(
      side,
      values.map(value => Buffer.from(value)),
    )
    if (side === 'left') model.unshift(...values.toReversed())
    else model.push(...values)
    return
  }
  if (model.length === 0) return assert.equal(list.pop(side), undefined)
  if (kind === 4 || kind > 8) {
    const taken = await loaded(() => list.pop(side))
    assert.equal(String(taken), side === 'left' ? model.shift() : model.pop())
  } else if (kind === 5) {
    const value = next()
    list.insert(list.between(at, at)[0]!, side, Buffer.from(value))
    model.splice(side === 'left' ? at : at + 1, 0, value)
  } else if (kind === 6) {
    const value = next()
    list.replace(list.between(at, at)[0]!, Buffer.from(value))
    model[at] = value
  } else if (kind === 7) {
    list.remove(list.between(at, at))
    model.splice(at, 1)
  } else {
    const to = Math.min(model.length - 1, at + random.below(20))
    list.trim(at, to)
    model.splice(to + 1)
    model.splice(0, at)
  }
}

test(`a list is what an array would be, over restarts, too (SEED=${seed})`, { timeout: 60_000 }, async t => {
  const random = new Random(seed)
  const data = mkdtempSync(join(tmpdir(), 'dragoman-lists-'))
  let broker: RunningBroker = await startBroker({ data })
  t.after(async () => {
    await broker.close()
    rmSync(data, { recursive: true, force: true })
  })
  let count = 0
  const next = (): string => `e${count++}`
  const model: string[] = []
  for (let round = 0; round < 4; round++) {
    const list = broker.core.lists.use('/', 'l')
    assert.deepEqual(await all(list), model)
    for (let index = 0; index < 400; index++) {
      await step(random, list, model, next)
      assert.equal(list.length, model.length)
      if (index % 20 === 0) {
        assert.deepEqual(await all(list), model)
        const from = random.below(model.length + 1)
        assert.deepEqual(
          await loaded(() => texts(list.valuesOf(list.between(from, model.length - 1)))),
          model.slice(from),
        )
      }
      if (random.chance(0.05)) list.elements.clear()
      if (random.chance(0.02)) await new Promise(resolve => setImmediate(resolve))
    }
    assert.deepEqual(await all(list), model)
    if (round === 1) continue
    await broker.close()
    broker = await startBroker({ data })
  }
  assert.deepEqual(await all(broker.core.lists.use('/', 'l')), model)
})
