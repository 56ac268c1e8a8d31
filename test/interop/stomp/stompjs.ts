import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client as StompClient, Versions, type IMessage } from '@stomp/stompjs'
import { repository } from '../../support/dragoman.ts'
import { fresh, runChecks, until, type Check, type Client, type Place } from '../suite.ts'

export const stompjs: Client = {
  name: '@stomp/stompjs',
  pinned: '7.2.1',
  from: 'npm',
  missing: () => undefined,
  version() {
    const file = join(repository, 'node_modules', '@stomp', 'stompjs', 'package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  },
  run: (place, report) => runChecks(checks(place), report),
}

type Use = (client: StompClient, place: Place) => Promise<void>

function checks(place: Place): Check[] {
  const check = (name: string, use: Use, versions?: readonly string[]): Check => ({
    capability: `test: ${name}`,
    async run() {
      const client = await connect(place, versions)
      try {
        await use(client, place)
      } finally {
        await client.deactivate({ force: true })
      }
    },
  })
  return [
    ...['1.0', '1.1', '1.2'].map(version =>
      check(`send, subscribe, acknowledge, version ${version}`, exchange, [version]),
    ),
    check('headers with every sign', headers),
    check('large frames in parts', large),
    check('NACK, and what comes back', nack),
    check('transactions', transactions),
    check('receipts and UNSUBSCRIBE', receipts),
    check('heart-beats', heartbeats),
    check('a subject, to many', fanOut),
    check('errors', errors),
  ]
}

/** By WebSocket, as browsers do. */
async function connect(
  place: Place,
  versions?: readonly string[],
  set?: (client: StompClient) => void,
): Promise<StompClient> {
  const client = new StompClient({ brokerURL: `ws://${place.address}`, reconnectDelay: 0 })
  if (versions) client.stompVersions = new Versions([...versions])
  set?.(client)
  await new Promise<void>((resolve, reject) => {
    client.onConnect = () => resolve()
    client.onStompError = frame => reject(new Error(frame.headers['message']))
    client.onWebSocketError = () => reject(new Error('the WebSocket failed'))
    client.activate()
  })
  return client
}

/** The messages of a subscription, in their order. */
class Inbox {
  readonly #messages: IMessage[] = []
  readonly take = (message: IMessage): void => void this.#messages.push(message)

  async next(): Promise<IMessage> {
    await until(() => this.#messages.length > 0)
    return this.#messages.shift()!
  }
  get size(): number {
    return this.#messages.length
  }
}

function receipt(client: StompClient, send: (headers: Record<string, string>) => void): Promise<void> {
  const id = fresh('receipt')
  return new Promise(resolve => {
    client.watchForReceipt(id, () => resolve())
    send({ receipt: id })
  })
}

const exchange: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox()
  client.subscribe(destination, inbox.take, { ack: 'client-individual' })
  await receipt(client, more => client.publish({ destination, body: 'größe ✓', headers: { colour: 'red', ...more } }))
  const message = await inbox.next()
  assert.equal(message.body, 'größe ✓')
  assert.equal(message.headers['colour'], 'red')
  message.ack()
  client.publish({ destination, binaryBody: Uint8Array.of(0, 1, 254, 255, 0) })
  assert.deepEqual([...(await inbox.next()).binaryBody], [0, 1, 254, 255, 0])
}

const headers: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox()
  const value = 'a:b\nd\re ä'
  client.subscribe(destination, inbox.take)
  client.publish({ destination, body: '', headers: { 'x-y': value } })
  assert.equal((await inbox.next()).headers['x-y'], value)
}

const large: Use = async (_client, place) => {
  const client = await connect(place, undefined, each => {
    each.splitLargeFrames = true
    each.maxWebSocketChunkSize = 1000
  })
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox()
  client.subscribe(destination, inbox.take)
  const body = 'x'.repeat(300_000)
  client.publish({ destination, body })
  assert.equal((await inbox.next()).body, body)
  await client.deactivate()
}

const nack: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox()
  client.subscribe(destination, inbox.take, { ack: 'client' })
  client.publish({ destination, body: 'job' })
  ;(await inbox.next()).nack()
  const again = await inbox.next()
  assert.equal(again.headers['redelivered'], 'true')
  again.ack()
}

const transactions: Use = async client => {
  const destination = `/queue/${fresh('q')}`
  const inbox = new Inbox()
  client.subscribe(destination, inbox.take)
  const aborted = client.begin()
  client.publish({ destination, body: 'never', headers: { transaction: aborted.id } })
  aborted.abort()
  const committed = client.begin()
  for (const body of ['1', '2']) client.publish({ destination, body, headers: { transaction: committed.id } })
  committed.commit()
  assert.equal((await inbox.next()).body, '1')
  assert.equal((await inbox.next()).body, '2')
  assert.equal(inbox.size, 0)
}

const receipts: Use = async client => {
  const destination = `/topic/${fresh('t')}`
  const inbox = new Inbox()
  const subscription = client.subscribe(destination, inbox.take)
  client.publish({ destination, body: '1' })
  assert.equal((await inbox.next()).body, '1')
  await receipt(client, more => subscription.unsubscribe(more))
  await receipt(client, more => client.publish({ destination, body: '2', headers: more }))
  assert.equal(inbox.size, 0)
}

const heartbeats: Use = async (_client, place) => {
  let closed = false
  const client = await connect(place, undefined, each => {
    each.heartbeatIncoming = 200
    each.heartbeatOutgoing = 200
    each.onWebSocketClose = () => (closed = true)
  })
  await new Promise(resolve => setTimeout(resolve, 1500))
  assert.equal(closed, false)
  await client.deactivate()
}

const fanOut: Use = async (client, place) => {
  const destination = `/topic/${fresh('t')}`
  const readers = await Promise.all(Array.from({ length: 5 }, () => connect(place)))
  const inboxes = readers.map(() => new Inbox())
  await Promise.all(
    readers.map((reader, at) => receipt(reader, more => void reader.subscribe(destination, inboxes[at]!.take, more))),
  )
  for (let number = 0; number < 100; number++) client.publish({ destination, body: String(number) })
  for (const inbox of inboxes) {
    for (let number = 0; number < 100; number++) assert.equal((await inbox.next()).body, String(number))
  }
  await Promise.all(readers.map(reader => reader.deactivate()))
}

const errors: Use = async client => {
  let said = ''
  client.onStompError = frame => (said = `${frame.headers['message']}: ${frame.body}`)
  client.publish({ destination: 'nowhere', body: '' })
  await until(() => said !== '')
  assert.match(said, /^unknown_destination: "nowhere" is no destination/)
}
