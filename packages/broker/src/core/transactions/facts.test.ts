import assert from 'node:assert/strict'
import test from 'node:test'
import { Reader, Writer } from '@dragoman/wire'
import { ended, factOf, joined, registered, removed, transactionFacts } from './facts.ts'
import { TransactionsMachine } from './machine.ts'

const at = { seq: 9, timeMs: 0x1122, epoch: 1 }
const name = { namespace: '/', id: 't' }

const register = factOf(registered, {
  ...name,
  producerId: 7,
  epoch: 3,
  previousProducerId: -1,
  previousEpoch: -1,
  timeoutMs: 0x500,
})
const join = factOf(joined, { ...name, streams: [1024, 300], groups: ['g'] })
const end = factOf(ended, { ...name, isCommitted: true, producerId: 7, epoch: 4 })

// What is on disks must stay readable: these bytes never change, only new versions are added.
test('facts of transactions of version 1 have the bytes that are on disks', () => {
  const both = '00012f 000174'
  assert.deepEqual(
    [register, join, end, factOf(removed, { ids: [name] })].map(fact => fact.toString('hex')),
    [
      `01 ${both} 0000000000000007 0003 ffffffffffffffff ffff 00000500`,
      `01 ${both} 00000002 8008 ac02 00000001 000167`,
      `01 ${both} 01 0000000000000007 0004`,
      `01 00000001 ${both}`,
    ].map(hex => hex.replaceAll(' ', '')),
  )
})

test('TransactionsMachine saves what it loads, in every state', () => {
  const machine = new TransactionsMachine()
  const seen: unknown[] = []
  for (const [type, fact] of [
    [transactionFacts.registered, register],
    [transactionFacts.joined, join],
    [transactionFacts.ended, end],
  ] as const) {
    machine.apply(type, fact, at)
    const restored = new TransactionsMachine()
    restored.load(new Reader(bytesOf(machine)))
    assert.equal(bytesOf(restored).toString('hex'), bytesOf(machine).toString('hex'))
    const record = restored.get('/', 't')
    assert(record)
    assert.equal(restored.ongoing.has(record), record.state === 'ongoing')
    seen.push([record.state, record.epoch, record.previousEpoch, record.startedMs, [...record.streams]])
  }
  assert.deepEqual(seen, [
    ['empty', 3, -1, 0, []],
    ['ongoing', 3, -1, 0x1122, [1024, 300]],
    ['committed', 4, 3, 0, []],
  ])
  machine.apply(transactionFacts.removed, factOf(removed, { ids: [name, { ...name, id: 'never' }] }), at)
  assert.equal(machine.count, 0)
  assert.throws(() => machine.apply(99, end, at), /newer/)
})

function bytesOf(machine: TransactionsMachine): Buffer {
  const out = new Writer()
  machine.save(out)
  return out.take()
}
