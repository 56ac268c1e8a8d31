import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '@dragoman/wire'
import { AmqpDriver, type DriverChannel } from '../../packages/broker/src/protocols/amqp/driver.ts'
import type { Table } from '../../packages/broker/src/protocols/amqp/table.ts'
import type { Received } from '../../packages/broker/src/protocols/amqp/driver-consumer.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import { startDragoman, type Dragoman } from '../support/dragoman.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { MessageAudit } from './message-audit.ts'

export interface MessageOptions {
  rounds: number
  seed: number
  durability: 'fsync' | 'os'
  log(text: string): void
}

export interface MessageSummary {
  rounds: number
  confirmed: number
  acknowledged: number
  deadLettered: number
  redelivered: number
}

const { network } = realRuntime()
const roundMsMax = 700
const deliveryLimit = 3
/** Confirms that a publisher waits for together. */
const window = 16
const backlogMax = 4000

const text = (name: string, value: string) => ({ name, type: 'S', value: Buffer.from(value) }) as const
const number = (name: string, value: number) => ({ name, type: 'I', value }) as const

/**
 * What is rejected at `work` waits in `retry` and comes back; what nobody can handle at `careful` goes to `poison` after its last delivery;
 * what grows too old in `ring` goes to `ring` again, where such a circle ends.
 */
const queues: Record<string, Table> = {
  work: [text('x-dead-letter-exchange', ''), text('x-dead-letter-routing-key', 'retry')],
  retry: [number('x-message-ttl', 40), text('x-dead-letter-exchange', ''), text('x-dead-letter-routing-key', 'work')],
  careful: [
    text('x-queue-type', 'quorum'),
    number('x-delivery-limit', deliveryLimit),
    text('x-dead-letter-exchange', ''),
    text('x-dead-letter-routing-key', 'poison'),
  ],
  poison: [],
  ring: [number('x-message-ttl', 30), text('x-dead-letter-exchange', ''), text('x-dead-letter-routing-key', 'ring')],
}

/**
 * Kills the broker again and again while messages are published with confirms and taken with acknowledgements.
 *
 * Holds: what was confirmed is in one of the queues, once, until it is acknowledged; what was acknowledged, with an answer to something that
 * was asked later, never comes again; a message that comes again is marked so, unless its delivery was in the last block; what nobody can
 * handle is put aside after its last delivery, and no circle of dead letters goes on for ever.
 */
export async function messageCampaign(options: MessageOptions): Promise<MessageSummary> {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-messages-'))
  const random = new Random(options.seed)
  const audit = new MessageAudit()
  let server: ServerProcess | undefined
  try {
    for (let round = 1; round <= options.rounds; round++) {
      const started = await start(join(directory, 'data'), options.durability)
      server = started.process
      audit.restarted()
      await declareAll(started.port)
      const loads = loadOf(started.port, round, audit, random)
      await sleep(200 + random.below(roundMsMax - 200))
      await server.kill()
      await Promise.all(loads)
      options.log(`round ${round}: ${audit.summary()}; ready in ${Math.round(server.readyMs)} ms`)
    }
    const last = await start(join(directory, 'data'), options.durability)
    server = last.process
    audit.restarted()
    await drain(last.port, audit)
    audit.checkAll()
    assert.equal(await server.stop(), 0, server.tail())
    return { rounds: options.rounds, ...audit.counts }
  } finally {
    await server?.kill()
    rmSync(directory, { recursive: true, force: true })
  }
}

const start = (data: string, durability: 'fsync' | 'os'): Promise<Dragoman> =>
  startDragoman({ data, durability, protocol: 'amqp' })

const connect = (port: number): Promise<AmqpDriver> => AmqpDriver.connect(network, { host: '127.0.0.1', port })

async function declareAll(port: number): Promise<void> {
  const driver = await connect(port)
  const channel = await driver.channel()
  for (const [name, given] of Object.entries(queues)) await channel.declare(name, { arguments: given })
  await driver.close()
}

/** Each ends with the broker. */
function loadOf(port: number, round: number, audit: MessageAudit, random: Random): Promise<void>[] {
  const loads = [1, 2, 3].map(each => publish(port, `${round}.${each}`, audit))
  for (let workers = 2; workers > 0; workers--) loads.push(work(port, audit, new Random(random.u32())))
  loads.push(handleWithCare(port, audit))
  // What a failed assertion says is not lost, what the end of the connection says is.
  return loads.map(load =>
    load.catch((error: unknown) => {
      if (error instanceof assert.AssertionError) throw error
    }),
  )
}

async function publish(port: number, label: string, audit: MessageAudit): Promise<void> {
  const driver = await connect(port)
  const channel = await driver.channel()
  await channel.confirm()
  for (let first = 0; ; first += window) {
    const sent = Array.from({ length: window }, async (_, at) => {
      const queue = at % 8 === 7 ? 'careful' : at % 16 === 6 ? 'ring' : 'work'
      const body = `${label}.${first + at}`
      audit.sent(body, queue)
      if (await channel.publish('', queue, body, { deliveryMode: 2 })) audit.confirmed(body)
    })
    const results = await Promise.allSettled(sent)
    if (results.some(({ status }) => status === 'rejected')) return
    // More than anybody can take would only make the end long.
    while (audit.backlog > backlogMax && !driver.gone) await sleep(5)
  }
}

/** One consumer and what it has done since it last knew that all of it is durable. */
class Worker {
  readonly #audit: MessageAudit
  readonly #queue: string
  readonly channel: DriverChannel
  #delivered: string[] = []
  #acked: string[] = []

  constructor(audit: MessageAudit, queue: string, channel: DriverChannel) {
    this.#audit = audit
    this.#queue = queue
    this.channel = channel
  }

  take(message: Received): string {
    const body = this.#audit.delivered(this.#queue, message)
    this.#delivered.push(body)
    return body
  }

  ack({ deliveryTag }: Received, body: string): void {
    this.#audit.acking(body)
    this.channel.ack(deliveryTag)
    this.#acked.push(body)
  }

  /** Asks for something that is answered when all before it is durable. */
  async settle(): Promise<void> {
    const [delivered, acked] = [this.#delivered, this.#acked]
    this.#delivered = []
    this.#acked = []
    await this.channel.declare(this.#queue, { passive: true })
    this.#audit.settled(delivered, acked)
  }
}

async function work(port: number, audit: MessageAudit, random: Random): Promise<void> {
  const driver = await connect(port)
  const channel = await driver.channel()
  const worker = new Worker(audit, 'work', channel)
  await channel.qos(50)
  const consumer = await channel.consume('work')
  for (let turn = 1; ; turn++) {
    const message = await consumer.next()
    const body = worker.take(message)
    const dice = random.below(100)
    // A few are never answered for.
    if (dice < 70) worker.ack(message, body)
    else if (dice < 85) channel.reject(message.deliveryTag, false)
    else if (dice < 99) channel.nack(message.deliveryTag)
    if (turn % 20 === 0) await worker.settle()
    // Before it holds all that it may.
    if (turn % 2000 === 0) await channel.recover()
  }
}

async function handleWithCare(port: number, audit: MessageAudit): Promise<void> {
  const driver = await connect(port)
  const channel = await driver.channel()
  const worker = new Worker(audit, 'careful', channel)
  await channel.qos(20)
  const consumer = await channel.consume('careful')
  for (let turn = 1; ; turn++) {
    const message = await consumer.next()
    const body = worker.take(message)
    if (isPoison(body)) channel.nack(message.deliveryTag)
    else worker.ack(message, body)
    if (turn % 20 === 0) await worker.settle()
  }
}

const isPoison = (body: string): boolean => Number(body.split('.')[2]) % 3 === 0

/** Takes all that is left, until nothing comes any more. */
async function drain(port: number, audit: MessageAudit): Promise<void> {
  const driver = await connect(port)
  const channel = await driver.channel()
  // What waits there comes back to `work` in time; what goes round is gone in time.
  for (const passing of ['retry', 'ring'])
    while ((await channel.declare(passing, { passive: true })).messageCount > 0) await sleep(20)
  for (const queue of ['work', 'careful', 'poison']) {
    for (let message = await channel.get(queue); message; message = await channel.get(queue)) {
      const body = audit.delivered(queue, message)
      audit.left(body, queue)
      if (queue === 'poison') checkDeath(message, body)
      channel.ack(message.deliveryTag)
    }
  }
  await driver.close()
}

function checkDeath({ properties: { headers = [] } }: Received, body: string): void {
  assert(isPoison(body), `${body} is among those that nobody can handle`)
  const death = headers.find(({ name }) => name === 'x-death')
  assert.equal(death?.type, 'A', `${body} does not tell why it was dead-lettered`)
  const reason = headers.find(({ name }) => name === 'x-first-death-reason')
  assert.equal(String(reason?.value), 'delivery_limit')
}
