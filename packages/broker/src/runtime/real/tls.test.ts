import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as net from 'node:net'
import test from 'node:test'
import * as tls from 'node:tls'
import { Random } from '@dragoman/wire'
import type { ClientTls, Connection, Listener, TlsIdentity, TlsListenerSettings } from '../runtime.ts'
import { NetworkError } from '../runtime.ts'
import { RealNetwork } from './network.ts'

const seed = Number(process.env.SEED ?? Date.now() >>> 0)
const pem = (name: string): string =>
  readFileSync(new URL(`../../../../../test/support/certificates/${name}`, import.meta.url), 'utf8')
const identity = (name: string): TlsIdentity => ({ cert: pem(`${name}.crt`), key: pem(`${name}.key`) })
const ca = pem('authority.crt')
const network = new RealNetwork()

const defaults: TlsListenerSettings = {
  ca,
  clientAuth: 'none',
  versionMin: '1.2',
  handshakesMax: 100,
  // Only who is idle takes so long, however busy the machine is.
  handshakeTimeoutMs: 120_000,
}

/** A listener that sends back what it gets. */
class Bench {
  readonly accepted: Connection[] = []
  readonly failures: string[] = []
  listener!: Listener
  #wake: (() => void)[] = []

  static async open(settings: Partial<TlsListenerSettings> = {}): Promise<Bench> {
    const bench = new Bench()
    bench.listener = await network.listen({ host: '127.0.0.1', port: 0 }, connection => bench.#accept(connection), {
      identity: identity('server'),
      settings: { ...defaults, ...settings },
      failed: (_, reason) => {
        bench.failures.push(reason)
        for (const wake of bench.#wake.splice(0)) wake()
      },
    })
    return bench
  }

  #accept(connection: Connection): void {
    this.accepted.push(connection)
    connection.handle({
      data: chunk => connection.write([Buffer.from(chunk)]),
      ended: () => connection.end(),
      drained: () => {},
      closed: () => {},
    })
    for (const wake of this.#wake.splice(0)) wake()
  }

  async until(isDone: () => boolean): Promise<void> {
    while (!isDone()) await new Promise<void>(resolve => this.#wake.push(resolve))
  }

  connect(options: ClientTls = { ca }): Promise<Connection> {
    return network.connect(this.listener.address, options)
  }

  plain(): net.Socket {
    const socket = net.connect(this.listener.address.port, '127.0.0.1')
    socket.on('error', () => {})
    return socket
  }

  async close(): Promise<void> {
    for (const connection of this.accepted) connection.destroy()
    await this.listener.close()
  }
}

async function withBench(settings: Partial<TlsListenerSettings>, run: (bench: Bench) => Promise<void>): Promise<void> {
  const bench = await Bench.open(settings)
  try {
    await run(bench)
  } finally {
    await bench.close()
  }
}

/** What comes back until the other side closes. */
async function exchange(connection: Connection, parts: readonly Buffer[]): Promise<Buffer> {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0)
  const chunks: Buffer[] = []
  let left = bytes
  const all = new Promise<Buffer>((resolve, reject) => {
    const closed = (error?: Error): void =>
      left === 0 ? resolve(Buffer.concat(chunks)) : reject(error ?? new Error('closed'))
    const data = (chunk: Buffer): void => {
      chunks.push(chunk)
      left -= chunk.length
      if (left === 0) connection.end()
    }
    connection.handle({ data, ended: () => connection.end(), drained: () => {}, closed })
  })
  for (const part of parts) connection.write([part])
  return all
}

test(`what is sent comes back unchanged over many connections at once (SEED=${seed})`, () =>
  withBench({}, async bench => {
    const random = new Random(seed)
    const one = async (): Promise<void> => {
      const parts = Array.from({ length: 20 }, () => random.bytes(random.below(60_000)))
      const connection = await bench.connect()
      assert((await exchange(connection, parts)).equals(Buffer.concat(parts)))
    }
    await Promise.all(Array.from({ length: 20 }, one))
    assert.deepEqual(bench.failures, [])
    assert.match(bench.accepted[0]?.tls?.version ?? '', /^TLSv1\.[23]$/)
  }))

test('a client without a certificate is nobody, one with a good certificate is its subject', () =>
  withBench({ clientAuth: 'want' }, async bench => {
    await exchange(await bench.connect(), [Buffer.from('x')])
    await exchange(await bench.connect({ ca, identity: identity('client') }), [Buffer.from('x')])
    assert.deepEqual(
      bench.accepted.map(({ tls: info }) => info?.subject),
      [undefined, 'CN=app,O=Example\\, Inc,C=DE'],
    )
  }))

for (const clientAuth of ['want', 'require'] as const) {
  test(`with client auth ${clientAuth}, a certificate of an unknown authority is refused`, () =>
    withBench({ clientAuth }, async bench => {
      const stranger = bench.connect({ ca, identity: identity('stranger') }).then(
        connection => exchange(connection, [Buffer.from('x')]),
        (error: unknown) => assert(error instanceof NetworkError),
      )
      await stranger.catch(() => {})
      await bench.until(() => bench.failures.length > 0)
      assert.equal(bench.accepted.length, 0)
    }))
}

test('with client auth require, a client without a certificate is refused', () =>
  withBench({ clientAuth: 'require' }, async bench => {
    const gone = async (): Promise<unknown> => exchange(await bench.connect(), [Buffer.from('x')])
    await assert.rejects(gone())
    await bench.until(() => bench.failures.length > 0)
    assert.equal(bench.accepted.length, 0)
  }))

test('a client checks the broker: its authority, and its name', () =>
  withBench({}, async bench => {
    await assert.rejects(bench.connect({}), ({ code }: NetworkError) => code === 'unusable')
    ;(await bench.connect({ isUnchecked: true })).destroy()
    const { port } = bench.listener.address
    ;(await network.connect({ host: 'localhost', port }, { ca })).destroy()
    await assert.rejects(network.connect({ host: '127.0.0.2', port: 1 }, { ca }), { code: 'refused' })
  }))

test('an old version of TLS is refused', () =>
  withBench({ versionMin: '1.3' }, async bench => {
    const socket = tls.connect({ port: bench.listener.address.port, host: '127.0.0.1', ca, maxVersion: 'TLSv1.2' })
    await new Promise<void>(resolve => socket.once('error', () => resolve()))
    await bench.until(() => bench.failures.length > 0)
    assert.equal(bench.accepted.length, 0)
  }))

const hellos: [string, Buffer, RegExp][] = [
  ['a request without TLS', Buffer.from('00000010001200000000000100036162630000', 'hex'), /does not speak TLS/],
  ['a request of the web', Buffer.from('GET / HTTP/1.1\r\n\r\n'), /does not speak TLS/],
  ['noise', Buffer.from('160301ffff', 'hex'), /not finished|SSL/],
]
for (const [name, bytes, reason] of hellos) {
  test(`${name} ends the connection, and the reason is told`, () =>
    withBench({}, async bench => {
      const socket = bench.plain()
      socket.write(bytes)
      if (name === 'noise') socket.end()
      const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
      socket.resume()
      await closed
      await bench.until(() => bench.failures.length > 0)
      assert.match(bench.failures[0] ?? '', reason)
      assert.equal(bench.failures.length, 1)
    }))
}

test('a handshake that is cut at any byte leaves nothing behind', () =>
  withBench({ handshakesMax: 1 }, async bench => {
    const hello = await helloOf(bench)
    for (const length of [1, 5, 6, 50, hello.length]) {
      const before = bench.failures.length
      const socket = bench.plain()
      socket.write(hello.subarray(0, length), () => socket.destroy())
      await bench.until(() => bench.failures.length > before)
    }
    // There is room for one: nothing was left.
    assert.equal((await exchange(await bench.connect(), [Buffer.from('ok')])).toString(), 'ok')
  }))

/** The first bytes of a client. */
async function helloOf(bench: Bench): Promise<Buffer> {
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const server = net.createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', bytes => {
      resolve(bytes)
      socket.destroy()
      server.close()
    })
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as net.AddressInfo
  await network.connect({ host: bench.listener.address.host, port }, { ca }).catch(() => {})
  return promise
}

test('handshakes under way are bounded', () =>
  withBench({ handshakesMax: 50 }, async bench => {
    const idle = Array.from({ length: 1000 }, () => bench.plain())
    await bench.until(() => bench.failures.length === 950)
    assert.deepEqual([...new Set(bench.failures)], ['too many handshakes are under way'])
    for (const socket of idle) socket.destroy()
    await bench.until(() => bench.failures.length === 1000)
    ;(await bench.connect()).destroy()
  }))

test('handshakes that take too long are ended, and make room for others', () =>
  withBench({ handshakesMax: 5, handshakeTimeoutMs: 300 }, async bench => {
    const tooLong = (): number => bench.failures.filter(reason => reason === 'the handshake took too long').length
    const idle = Array.from({ length: 20 }, () => bench.plain())
    await bench.until(() => bench.failures.length === 20)
    assert(tooLong() >= 5)
    for (const socket of idle) socket.destroy()
    // The others may be too slow, too, on a busy machine.
    for (let isDone = false; !isDone;) {
      const connection = await bench.connect().catch((error: unknown) => assert(error instanceof NetworkError))
      isDone = connection !== undefined
      connection?.destroy()
    }
  }))

test('new connections get a new certificate; one that cannot be used changes nothing', () =>
  withBench({}, async bench => {
    const serial = async (): Promise<string> => {
      const socket = tls.connect({ port: bench.listener.address.port, host: '127.0.0.1', ca })
      await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
      const { serialNumber } = socket.getPeerCertificate()
      socket.destroy()
      return serialNumber
    }
    const old = await bench.connect()
    const before = await serial()
    bench.listener.renew?.(identity('next-server'), ca)
    const after = await serial()
    assert.notEqual(before, after)
    const broken = { cert: pem('server.crt'), key: pem('next-server.key') }
    assert.throws(() => bench.listener.renew?.(broken, ca), { code: 'unusable' })
    assert.equal(await serial(), after)
    assert.equal((await exchange(old, [Buffer.from('still here')])).toString(), 'still here')
  }))

test('a certificate that cannot be used is refused at once', async () => {
  for (const [cert, key] of [
    ['no certificate', 'no key'],
    [pem('server.crt'), pem('client.key')],
  ] as const) {
    const options = { identity: { cert, key }, settings: defaults, failed: () => {} }
    await assert.rejects(
      network.listen({ host: '127.0.0.1', port: 0 }, () => {}, options),
      { code: 'unusable' },
    )
  }
})
