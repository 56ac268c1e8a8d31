import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { encodeRequest } from './client.ts'
import { FrameDecoder, skipTaggedFields } from './framing.ts'
import { apis, type Api } from './messages/index.ts'

const directory = new URL('vectors/', import.meta.url)

for (const file of readdirSync(directory).filter(name => name.endsWith('.txt'))) {
  for (const line of readFileSync(new URL(file, directory), 'utf8').trim().split('\n')) {
    const [name = '', version = '', hex = ''] = line.split(' ')
    test(`${name} ${version} of ${file} is read to its end and written as it was`, () => {
      const api: Api = Object.values(apis).find(candidate => candidate.name === name) ?? assert.fail(name)
      const bytes = Buffer.from(hex, 'hex')
      let frames = 0
      new FrameDecoder({ frameBytesMax: bytes.length }, 8).push(bytes, reader => {
        frames++
        assert.deepEqual([reader.i16(), reader.i16()], [api.key, Number(version)])
        const correlationId = reader.i32()
        const clientId = reader.nullableString16()
        if (Number(version) >= api.flexible) skipTaggedFields(reader)
        const body = api.request.read(reader, Number(version))
        reader.expectEnd()
        const written = Buffer.concat(encodeRequest(api, Number(version), correlationId, clientId, body))
        assert.equal(written.toString('hex'), hex)
      })
      assert.equal(frames, 1)
    })
  }
}
