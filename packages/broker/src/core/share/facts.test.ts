import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import { cursorsMade, factOf, groupRemoved, shareFacts, topicDropped, topicForgotten } from './facts.ts'
import { ShareGroupsMachine } from './machine.ts'

const topicId = '0123456789abcdef'.repeat(2)
const other = 'f'.repeat(32)
const at = { seq: 9, timeMs: 0, epoch: 1 }
const name = { namespace: '/', group: 'g' }
const made = factOf(cursorsMade, { ...name, topicId, cursors: [{ partition: 300, cursor: 1025 }] })

// What is on disks must stay readable: these bytes never change, only new versions are added.
test('facts of version 1 have the bytes that are on disks', () => {
  const hex = (bytes: Buffer): string => bytes.toString('hex')
  assert.equal(hex(made), `0100012f000167${topicId}00000001ac0200000401`)
  assert.equal(hex(factOf(topicDropped, { ...name, topicId })), `0100012f000167${topicId}`)
  assert.equal(hex(factOf(topicForgotten, { topicId })), `01${topicId}`)
  assert.equal(hex(factOf(groupRemoved, name)), '0100012f000167')
})

test('ShareGroupsMachine saves what it loads, and each fact undoes what it should', () => {
  const machine = new ShareGroupsMachine()
  const apply = (type: number, fact: Buffer): void => machine.apply(type, fact, at)
  apply(shareFacts.cursorsMade, made)
  apply(shareFacts.cursorsMade, factOf(cursorsMade, { ...name, topicId, cursors: [{ partition: 0, cursor: 1026 }] }))
  apply(
    shareFacts.cursorsMade,
    factOf(cursorsMade, { ...name, topicId: other, cursors: [{ partition: 0, cursor: 7 }] }),
  )
  const saved = bytesOf(machine)
  const restored = new ShareGroupsMachine()
  restored.load(new Reader(saved))
  assert(bytesOf(restored).equals(saved))
  assert.deepEqual(
    restored.get('/', 'g')?.get(topicId),
    new Map([
      [300, 1025],
      [0, 1026],
    ]),
  )
  restored.apply(shareFacts.topicDropped, factOf(topicDropped, { ...name, topicId }), at)
  assert.deepEqual([...(restored.get('/', 'g')?.keys() ?? [])], [other])
  restored.apply(shareFacts.topicForgotten, factOf(topicForgotten, { topicId: other }), at)
  assert.equal(restored.get('/', 'g'), undefined)
  apply(shareFacts.groupRemoved, factOf(groupRemoved, name))
  assert.deepEqual([...machine.all()], [])
  assert.throws(() => apply(99, made), /newer broker/)
  assert.throws(() => apply(shareFacts.topicForgotten, Buffer.from(`02${topicId}`, 'hex')), /newer broker/)
})

function bytesOf(machine: ShareGroupsMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}
