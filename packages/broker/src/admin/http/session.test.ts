import assert from 'node:assert/strict'
import test, { type TestContext } from 'node:test'
import { startBroker, type BrokerOptions } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import type { Connection } from '../../runtime/runtime.ts'

const { network } = realRuntime()
const authorization = `Authorization: Basic ${Buffer.from('guest:guest').toString('base64')}`

/** A connection on which a test writes what it likes and sees what comes. */
class Raw {
  readonly #connection: Connection
  #text = ''
  #isClosed = false
  #told: (() => void) | undefined

  constructor(connection: Connection) {
    this.#connection = connection
    connection.handle({
      data: chunk => {
        this.#text += chunk.toString('latin1')
        this.#told?.()
      },
      ended: () => connection.destroy(),
      drained: () => {},
      closed: () => {
        this.#isClosed = true
        this.#told?.()
      },
    })
  }

  write(...lines: string[]): void {
    this.#connection.write([Buffer.from(lines.join('\r\n'), 'latin1')])
  }

  /** All that has come, as soon as `pattern` is in it. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#text)) {
      assert(!this.#isClosed, `Closed after ${JSON.stringify(this.#text)}`)
      await new Promise<void>(resolve => (this.#told = resolve))
    }
    return this.#text
  }

  async closed(): Promise<string> {
    while (!this.#isClosed) await new Promise<void>(resolve => (this.#told = resolve))
    return this.#text
  }

  destroy(): void {
    this.#connection.destroy()
  }
}

async function open(t: TestContext, options: BrokerOptions = {}): Promise<() => Promise<Raw>> {
  const broker = await startBroker({ data: 'memory', http: 0, ...options })
  t.after(() => broker.close())
  return async () => {
    const raw = new Raw(await network.connect({ host: '127.0.0.1', port: broker.port('http') }))
    t.after(() => raw.destroy())
    return raw
  }
}

const statuses = (text: string): string[] => Array.from(text.matchAll(/HTTP\/1\.1 (\d+)/g), found => found[1] ?? '')

test('requests that come together are answered in their order, and the connection stays', async t => {
  const raw = await (await open(t))()
  const ask = (method: string, path: string): string[] => [
    `${method} ${path} HTTP/1.1`,
    'Host: x',
    authorization,
    '',
    '',
  ]
  raw.write(
    [ask('PUT', '/api/vhosts/a'), ask('PUT', '/api/vhosts/a'), ask('DELETE', '/api/vhosts/a'), ask('GET', '/health')]
      .map(lines => lines.join('\r\n'))
      .join(''),
  )
  assert.deepEqual(statuses(await raw.until(/"ok"/)), ['201', '204', '204', '200'])
  raw.write(...ask('HEAD', '/health'))
  const text = await raw.until(/content-length: 15\r\n\r\n$/)
  // The answer to HEAD has the length of the body and no body.
  assert.equal(text.match(/"ok"/g)?.length, 1)
})

test('a connection is closed when the client asks for it, and after a request of HTTP/1.0', async t => {
  const connect = await open(t)
  for (const lines of [
    ['GET /health HTTP/1.1', 'Host: x', 'Connection: close', '', ''],
    ['GET /health HTTP/1.0', '', ''],
  ]) {
    const raw = await connect()
    raw.write(...lines)
    const text = await raw.closed()
    assert.deepEqual(statuses(text), ['200'])
    assert.match(text, /connection: close/)
  }
})

test('what is no request is answered, and the connection is closed', async t => {
  const raw = await (await open(t))()
  raw.write('GET /health HTTP/1.1', 'Host: x', '', 'nonsense', '', '')
  const text = await raw.closed()
  assert.deepEqual(statuses(text), ['200', '400'])
  assert.match(text, /"error":"bad_request","reason":"what came is no request of HTTP"/)
})

test('a body is taken only of who may send it', async t => {
  const connect = await open(t)
  const head = (credentials: string[]): string[] => [
    ...['POST /api/definitions HTTP/1.1', 'Host: x', 'Content-Length: 3000000', 'Expect: 100-continue', ...credentials],
    ...['', ''],
  ]
  const stranger = await connect()
  stranger.write(...head([]))
  // Nobody has to send the rest to be refused.
  const refused = await stranger.closed()
  assert.deepEqual(statuses(refused), ['401'])
  assert.match(refused, /www-authenticate: Basic/)
  const known = await connect()
  known.write(...head([authorization]))
  await known.until(/100 Continue/)
  known.write(`{"users":[]${' '.repeat(3_000_000 - 12)}}`)
  assert.deepEqual(statuses(await known.until(/ 204 /)), ['100', '204'])
})

test('a body that is larger than allowed is refused, whether its length is told or not', async t => {
  const connect = await open(t, { frameBytesMax: '64KiB' })
  const told = await connect()
  told.write('POST /api/definitions HTTP/1.1', 'Host: x', authorization, 'Content-Length: 70000', '', '')
  assert.deepEqual(statuses(await told.closed()), ['413'])
  const untold = await connect()
  untold.write('POST /api/definitions HTTP/1.1', 'Host: x', authorization, 'Transfer-Encoding: chunked', '', '')
  untold.write('fffff', 'x'.repeat(70_000))
  assert.deepEqual(statuses(await untold.closed()), ['413'])
})

test('a request that does not go on is given up', async t => {
  const raw = await (await open(t, { frameTimeoutMs: 100, firstRequestTimeoutMs: 100, logLevel: 'off' }))()
  raw.write('POST /api/definitions HTTP/1.1', 'Host: x', authorization, 'Content-Length: 100', '', 'half')
  assert.equal(await raw.closed(), '')
})

test('a client that goes while its request is served leaves nothing behind', async t => {
  const connect = await open(t)
  for (let round = 0; round < 20; round++) {
    const raw = await connect()
    raw.write(
      'POST /api/definitions HTTP/1.1',
      'Host: x',
      authorization,
      'Content-Length: 5',
      '',
      round % 2 ? 'abc' : '',
    )
    await new Promise(resolve => setImmediate(resolve))
    raw.destroy()
  }
  const raw = await connect()
  raw.write('GET /health HTTP/1.1', 'Host: x', '', '')
  await raw.until(/"ok"/)
})
