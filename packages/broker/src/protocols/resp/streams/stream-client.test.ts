import assert from 'node:assert/strict'
import test from 'node:test'
import { NotLoaded } from '../../../core/lists/elements.ts'
import { dropWork, worked } from './stream-client.ts'

test('what was done for a command that had no use for it is not given to the next one', async () => {
  const owner = {}
  assert.throws(() => worked(owner, async () => 1), NotLoaded)
  dropWork(owner) // It is under way.
  await new Promise<void>(resolve => setImmediate(resolve))
  assert.equal(worked(owner, assert.fail), 1)
  assert.throws(() => worked(owner, async () => 2), NotLoaded)
  await new Promise<void>(resolve => setImmediate(resolve))
  dropWork(owner)
  assert.equal(
    worked(owner, () => 3),
    3,
  )
})
