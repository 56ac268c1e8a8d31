import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { Connection } from '../../runtime/runtime.ts'

const signs: Readonly<Record<string, string>> = { n: '\n', r: '\r', 0: '\0', '\\': '\\' }

const bytesOf = (text: string, session: string): string =>
  text.replaceAll('*-', `${session}-`).replaceAll(/\\([nr0\\])/g, (_, sign: string) => signs[sign] ?? '')

test('the bytes of the protocol are answered with the bytes of the protocol', { timeout: 120_000 }, async t => {
  const steps = readFileSync(join(import.meta.dirname, 'vectors', 'transcript.txt'), 'utf8')
    .trim()
    .split('\n')
  const broker = await startBroker({ data: 'memory', stomp: 0 })
  t.after(() => broker.close())
  let connection: Connection | undefined
  let got = ''
  let session = '*'
  let told = (): void => {}
  for (const step of steps) {
    if (step === '!') {
      connection?.destroy()
      connection = await realRuntime().network.connect({ host: '127.0.0.1', port: broker.port('stomp') })
      got = ''
      session = '*'
      const tell = (): void => told()
      connection.handle({
        data: chunk => {
          got += chunk.toString('latin1')
          tell()
        },
        ended: tell,
        drained: () => {},
        closed: tell,
      })
      continue
    }
    const text = step.slice(2)
    if (step.startsWith('>')) {
      connection?.write([Buffer.from(bytesOf(text, session), 'latin1')])
      continue
    }
    const whole = (): boolean => {
      session = /^session:(.*)$/m.exec(got)?.[1] ?? session
      return got.length >= bytesOf(text, session).replace('session:*', `session:${session}`).length
    }
    while (!whole()) await new Promise<void>(resolve => (told = resolve))
    assert.equal(got, bytesOf(text, session).replace('session:*', `session:${session}`))
    got = ''
  }
  connection?.destroy()
})
