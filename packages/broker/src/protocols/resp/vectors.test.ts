import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'

const bytesOf = (text: string): string => text.replaceAll(String.raw`\r`, '\r').replaceAll(String.raw`\n`, '\n')

test('the bytes of the protocol are answered with the bytes of the protocol', async () => {
  const steps = readFileSync(join(import.meta.dirname, 'vectors', 'transcript.txt'), 'utf8')
    .trim()
    .split('\n')
  const broker = await startBroker({ data: 'memory', resp: 0 })
  const connection = await realRuntime().network.connect({ host: '127.0.0.1', port: broker.port('resp') })
  let got = ''
  let told = (): void => {}
  connection.handle({
    data: chunk => {
      got += chunk.toString('latin1')
      told()
    },
    ended: () => told(),
    drained: () => {},
    closed: () => told(),
  })
  for (const step of steps) {
    const bytes = bytesOf(step.slice(2))
    if (step.startsWith('>')) {
      got = ''
      connection.write([Buffer.from(bytes, 'latin1')])
      continue
    }
    while (got.length < bytes.length) await new Promise<void>(resolve => (told = resolve))
    assert.equal(got, bytes, step)
  }
  connection.destroy()
  await broker.close()
})
