import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import test, { after, before } from 'node:test'
import { startBroker, type RunningBroker } from '@dragoman/broker'
import { Redis } from 'ioredis'
import { connectAsync, type IClientOptions } from 'mqtt'
import { createClient } from 'redis'
import stompit, { type Client as StompClient } from 'stompit'

// Clients speak TLS to the protocols whose listeners have it, as their users configure them.

const certificates = new URL('../support/certificates/', import.meta.url).pathname
const file = (name: string): string => join(certificates, name)
const ca = readFileSync(file('authority.crt'), 'utf8')
const host = '127.0.0.1'
const options = { timeout: 120_000 }

let broker: RunningBroker
before(async () => {
  broker = await startBroker({
    ...{ data: 'memory', mqttTls: 0, stompTls: 0, respTls: 0 },
    ...{ tlsCert: file('server.crt'), tlsKey: file('server.key'), tlsCa: file('authority.crt') },
    ...{ tlsClientAuth: 'want', tlsPrincipal: 'cn', users: 'ann:secret', superUsers: 'ann;app', logLevel: 'error' },
  })
})
after(() => broker.close())

const password = { username: 'ann', password: 'secret' }

async function throughMqtt(scheme: string, given: IClientOptions): Promise<void> {
  const url = `${scheme}://${host}:${broker.port('mqtt-tls')}`
  const client = await connectAsync(url, { ca, protocolVersion: 5, reconnectPeriod: 0, ...given })
  try {
    const heard = new Promise<Buffer>(resolve => client.on('message', (_topic, payload) => resolve(payload)))
    await client.subscribeAsync('tls', { qos: 1 })
    await client.publishAsync('tls', Buffer.alloc(200_000, scheme), { qos: 1 })
    assert.deepEqual(await heard, Buffer.alloc(200_000, scheme))
  } finally {
    await client.endAsync(true)
  }
}

test('MQTT.js by TLS, and by WebSocket over it', options, async () => {
  await throughMqtt('mqtts', password)
  await throughMqtt('wss', password)
})

test('MQTT.js with a certificate needs no password, and without either is refused', options, async () => {
  await throughMqtt('mqtts', { cert: readFileSync(file('client.crt')), key: readFileSync(file('client.key')) })
  await assert.rejects(throughMqtt('mqtts', {}), /Not authorized/)
})

test('MQTT.js does not trust a broker whose authority it does not know', options, () =>
  assert.rejects(throughMqtt('mqtts', { ...password, ca: [] }), /certificate/),
)

const tools = { hears: 'mosquitto_sub', says: 'mosquitto_pub' }
const isThere = (command: string): boolean => spawnSync('which', [command]).status === 0

test("Mosquitto's commands by TLS", { ...options, skip: !isThere(tools.says) }, async () => {
  const login = ['-u', 'ann', '-P', 'secret']
  const common = ['-h', host, '-p', String(broker.port('mqtt-tls')), '--cafile', file('authority.crt'), ...login]
  const heard = spawn(tools.hears, [...common, '-t', 'm', '-q', '1', '-C', '1', '-W', '10'])
  const said = text(heard.stdout)
  while (broker.core.connections.list().length === 0) await new Promise(resolve => setTimeout(resolve, 10))
  const sending = spawn(tools.says, [...common, '-t', 'm', '-q', '1', '-r', '-m', 'hello'])
  assert.deepEqual(await once(sending, 'exit'), [0, null])
  assert.equal(await said, 'hello\n')
})

test('stompit by TLS', options, async () => {
  const connectHeaders = { host: '/', login: 'ann', passcode: 'secret' }
  const client = await new Promise<StompClient>((resolve, reject) => {
    const given = { host, port: broker.port('stomp-tls'), ssl: true, ca: [ca], connectHeaders }
    stompit.connect(given as Parameters<typeof stompit.connect>[0], (error, connected) =>
      error ? reject(error) : resolve(connected),
    )
  })
  const body = 'stomp '.repeat(40_000)
  const received = new Promise<string | undefined>((resolve, reject) => {
    client.subscribe({ destination: '/queue/tls', ack: 'auto' }, (error, message) => {
      if (error) reject(error)
      else message.readString('utf8', (failure, found) => (failure ? reject(failure) : resolve(found)))
    })
  })
  client.send({ destination: '/queue/tls' }).end(body)
  assert.equal(await received, body)
  client.destroy()
})

test('ioredis and node-redis by TLS', options, async () => {
  const port = broker.port('resp-tls')
  const io = new Redis({ host, port, ...password, tls: { ca }, maxRetriesPerRequest: 1 })
  const node = createClient({ ...password, socket: { host, port, tls: true, ca } })
  node.on('error', () => {})
  try {
    await node.connect()
    const value = 'redis '.repeat(40_000)
    const waiting = node.blPop('tls', 5)
    await io.rpush('tls', value)
    assert.equal((await waiting)?.element, value)
  } finally {
    io.disconnect()
    node.destroy()
  }
})
