import assert from 'node:assert/strict'
import test from 'node:test'
import { checkDescriptors, connectionCeiling } from './descriptors.ts'
import { StartError } from './start-error.ts'

const limits = { connectionsMax: 10_000, tlsHandshakesMax: 500 }
const having = (open: number, max: number) => ({ descriptors: () => Promise.resolve({ open, max }) })

async function ceiling(max: number, hasTls = false): Promise<[number, number]> {
  const lines: string[] = []
  return [await connectionCeiling(having(30, max), limits, hasTls, (_level, line) => lines.push(line)), lines.length]
}

test('connections leave descriptors for the data, and it is told when that makes them fewer', async () => {
  assert.deepEqual(await ceiling(1_000_000), [999_810, 0])
  assert.deepEqual(await ceiling(1024), [834, 1])
  assert.deepEqual(await ceiling(1024, true), [334, 1])
  assert.deepEqual(await ceiling(128), [16, 1])
  assert.equal(await connectionCeiling({}, limits, true, assert.fail), Infinity)
})

test('a start with hardly any descriptors is refused in words', async () => {
  await assert.rejects(checkDescriptors(having(20, 60)), (error: unknown) => {
    assert(error instanceof StartError)
    assert.match(error.message, /60 files.*ulimit -n/)
    return true
  })
  await checkDescriptors(having(20, 128))
  await checkDescriptors({})
})
