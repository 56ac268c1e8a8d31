import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '@dragoman/wire'
import { decodeProperties, encodeProperties } from './mapping.ts'
import { properties as propertiesCodec, type Properties } from './messages/basic.ts'
import { changed, fitting } from './rewriting.ts'
import type { Field } from './table.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)

test(`what is not changed stays as it is (SEED=${seed})`, () => {
  const random = new Random(seed)
  for (let round = 0; round < 3000; round++) {
    const given = propertiesCodec.sample(random)
    const bytes = encodeProperties(given)
    assert.deepEqual(changed(bytes, {}), bytes)
    const added: Field = { name: 'x-message-ttl', type: 'l', value: 5n }
    const kept = (given.headers ?? []).filter(({ name }) => name !== 'x-message-ttl' && name !== 'a')
    const expected: Properties = { ...given, headers: [...kept, added], replyTo: 'there' }
    delete expected.expiration
    const changes = { headers: [added], without: ['a'], replyTo: 'there', dropsExpiration: true }
    assert.deepEqual(decodeProperties(changed(bytes, changes)), expected)
    delete given.headers
    assert.deepEqual(decodeProperties(changed(bytes, { dropsHeaders: true })), given)
  }
})

test('bytes that are no text are not turned into text on the way', () => {
  const bytes = encodeProperties({ correlationId: 'x'.repeat(255), headers: [{ name: 'yyyy', type: 'I', value: 1 }] })
  // Both are of a length that could not be told any more if each of their bytes became a character.
  bytes.fill(0xff, bytes.indexOf('x'), bytes.lastIndexOf('x') + 1)
  bytes.fill(0xfe, bytes.indexOf('y'), bytes.lastIndexOf('y') + 1)
  const more = changed(bytes, { headers: [{ name: 'n', type: 'V', value: null }] })
  assert.deepEqual(changed(more, { without: ['n'] }), bytes)
})

test('headers that do not fit into a frame are left out', () => {
  const given: Properties = { headers: [{ name: 'h', type: 'S', value: 'x'.repeat(5000) }], messageId: 'id' }
  const content = { properties: encodeProperties(given), body: Buffer.from('body') }
  assert.equal(fitting(content, 131_072), content)
  assert.deepEqual(decodeProperties(fitting(content, 4096).properties), { messageId: 'id' })
})
