import assert from 'node:assert/strict'
import test from 'node:test'
import { fuzzBytes, ProtocolError, Random, Reader, Writer, type Codec } from '@dragoman/wire'
import { handlers } from '../handlers/index.ts'
import { apis, type Api } from './index.ts'

const seed = Number(process.env['SEED'] ?? Date.now() >>> 0)
const all: Api[] = Object.values(apis)

for (const api of all) {
  test(`${api.name} survives a round trip in all versions (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (let version = api.versions[0]; version <= api.versions[1]; version++) {
      for (const codec of [api.request, api.response]) {
        for (let round = 0; round < 10; round++) roundTrip(codec, random, version)
      }
    }
  })

  test(`${api.name} of mutated bytes gives a value or ProtocolError (SEED=${seed})`, () => {
    const random = new Random(seed)
    for (let round = 0; round < 200; round++) {
      const version = random.between(api.versions[0], api.versions[1])
      const codec = random.pick([api.request, api.response])
      try {
        codec.read(new Reader(fuzzBytes(random, codec, version)), version)
      } catch (error) {
        assert(error instanceof ProtocolError, String(error))
      }
    }
  })
}

function roundTrip(codec: Codec<unknown>, random: Random, version: number): void {
  const value = codec.sample(random, version)
  const out = new Writer()
  codec.write(out, value, version)
  const reader = new Reader(out.take())
  assert.deepEqual(codec.read(reader, version), value)
  reader.expectEnd()
}

test('request and answer have the same versions, and only declared versions are offered', () => {
  for (const { key, request, response, versions, flexible } of all) {
    assert(request.node.kind === 'message' && response.node.kind === 'message')
    assert.deepEqual(response.node.versions, request.node.versions)
    assert.equal(response.node.flexible, request.node.flexible)
    assert.equal(flexible, request.node.flexible)
    const offered = handlers.get(key)
    if (offered === undefined) continue
    assert(offered.versions[0] >= versions[0] && offered.versions[1] <= versions[1])
  }
  assert.equal(new Set(all.map(({ key }) => key)).size, all.length)
})
