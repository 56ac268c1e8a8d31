import assert from 'node:assert/strict'
import test from 'node:test'
import { memoryStores, turns } from '../../cell/testing/cells.ts'
import { startRouter } from '../routing/test-bench.ts'

test('who looks for a message among very many lets others in between, and is told where to go on', async () => {
  const node = await startRouter(memoryStores())
  const queue = await node.queues.declare('/', 'q')
  const count = 100_500
  for (let index = 0; index < count; index++) {
    const message = { key: Buffer.from(index === count - 1 ? 'wanted' : 'other'), value: Buffer.from('x') }
    node.router.post({ namespace: '/', exchange: '', key: 'q', message })
    if (index % 1000 === 0) await turns(2)
  }
  await turns(50)
  let between = 0
  let isOver = false
  const tick = (): void => {
    between++
    if (!isOver) setImmediate(tick)
  }
  setImmediate(tick)
  const first = await queue.search(0, 10, { key: 'wanted' })
  isOver = true
  assert.deepEqual([first.messages, first.next], [[], 100_000])
  assert(between >= 50, `only ${between} turns`)
  const second = await queue.search(first.next ?? 0, 10, { key: 'wanted' })
  assert.deepEqual([second.messages.map(({ offset }) => offset), second.next], [[count - 1], undefined])
  assert.deepEqual((await queue.search(0, 2, {})).next, 2)
  await node.cell.close()
})
