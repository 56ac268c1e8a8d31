import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import library, { type Client as StompitClient, type Message as StompitMessage } from 'stompit'
import { repository } from '../../support/dragoman.ts'
import { fresh, runChecks, type Check, type Client, type Place } from '../suite.ts'

export const stompit: Client = {
  name: 'stompit',
  pinned: '1.0.0',
  from: 'npm',
  missing: () => undefined,
  version() {
    const file = join(repository, 'node_modules', 'stompit', 'package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  },
  run: (place, report) => runChecks(checks(place), report),
}

type Use = (client: StompitClient) => Promise<void>

function checks(place: Place): Check[] {
  const check = (name: string, use: Use): Check => ({
    capability: `test: ${name}`,
    async run() {
      const client = await connect(place)
      try {
        await use(client)
        await new Promise<void>((resolve, reject) => client.disconnect(error => (error ? reject(error) : resolve())))
      } finally {
        client.destroy()
      }
    },
  })
  return [
    check('send, subscribe, acknowledge', exchange),
    check('a large body, in parts', large),
    check('NACK, and what comes back', nack),
    check('transactions', transactions),
    check('errors', errors),
  ]
}

function connect(place: Place): Promise<StompitClient> {
  const [host = '', port = ''] = place.address.split(':')
  const connectHeaders = { host: '/', login: 'guest', passcode: 'guest', 'heart-beat': '5000,5000' }
  return new Promise((resolve, reject) =>
    library.connect({ host, port: Number(port), connectHeaders }, (error, client) =>
      error ? reject(error) : resolve(client),
    ),
  )
}

interface Taken {
  readonly message: StompitMessage
  readonly body: string
}

class Inbox {
  readonly #taken: Taken[] = []
  #told: (() => void) | undefined

  constructor(client: StompitClient, headers: Record<string, string>) {
    client.subscribe(headers, (error, message) => {
      if (error) return
      message.readString('utf-8', (_error, body) => {
        this.#taken.push({ message, body })
        this.#told?.()
      })
    })
  }

  async next(): Promise<Taken> {
    while (this.#taken.length === 0) await new Promise<void>(resolve => (this.#told = resolve))
    return this.#taken.shift()!
  }
}

/** Resolves when the broker has confirmed it. */
function send(client: StompitClient, headers: Record<string, string>, body: string): Promise<void> {
  return new Promise(resolve => {
    const frame = client.send(headers, { onReceipt: () => resolve() })
    frame.write(body)
    frame.end()
  })
}

const exchange: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox(client, { destination, ack: 'client-individual' })
  await send(client, { destination, 'content-type': 'text/plain', colour: 'r:ed' }, 'größe')
  const { message, body } = await inbox.next()
  assert.equal(body, 'größe')
  assert.equal(message.headers['colour'], 'r:ed')
  client.ack(message)
}

const large: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox(client, { destination, ack: 'auto' })
  const frame = client.send({ destination })
  for (let part = 0; part < 300; part++) frame.write('x'.repeat(1000))
  frame.end()
  assert.equal((await inbox.next()).body.length, 300_000)
}

const nack: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox(client, { destination, ack: 'client' })
  await send(client, { destination }, 'job')
  client.nack((await inbox.next()).message)
  const { message } = await inbox.next()
  assert.equal(message.headers['redelivered'], 'true')
  client.ack(message)
}

const transactions: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox(client, { destination, ack: 'auto' })
  for (const [body, ending] of [
    ['never', 'abort'],
    ['yes', 'commit'],
  ] as const) {
    const transaction = client.begin()
    const frame = transaction.send({ destination })
    frame.write(body)
    frame.end()
    transaction[ending]()
  }
  assert.equal((await inbox.next()).body, 'yes')
}

const errors: Use = client =>
  new Promise((resolve, reject) => {
    client.disconnect = done => done?.(null)
    client.on('error', error => {
      try {
        assert.match(error.message, /not_found|no queue/)
        resolve()
      } catch (wrong) {
        reject(wrong as Error)
      }
    })
    const frame = client.send({ destination: '/amq/queue/absent' })
    frame.on('error', () => {})
    frame.end()
  })
