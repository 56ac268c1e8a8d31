import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rabbitmq } from '../../../bench/peers/rabbitmq.ts'
import { AmqpDriver, Refusal, type DriverChannel } from '../../../packages/broker/src/protocols/amqp/driver.ts'
import { realRuntime } from '../../../packages/broker/src/runtime/real/real-runtime.ts'
import { startDragoman } from '../../support/dragoman.ts'
import type { Client } from '../suite.ts'
import { versions } from '../versions.ts'
import { cases, type Case } from './differential-cases.ts'
import { likeRabbitmq, portOf } from './redirect.ts'

const { network } = realRuntime()
const answerMsMax = 5000

const words = 'the code is the same; the words are, where theirs show terms of Erlang, for people'

/** Differences that are meant. The list may only become shorter. */
const meant: Readonly<Record<string, string>> = {
  'exchange.declare: a kind that there is not':
    'ends the channel with 406, as in RabbitMQ 4; in 3.10 the connection with 503',
  'queue.declare: x-dead-letter-exchange, number': words,
  'queue.bind: headers, unknown match': words,
  'queue.bind: headers, match of another type': words,
  'exchange.declare: an alternate that is a number': words,
  'basic.publish: CC that is no list': words,
}

/** What is wrong with an argument is told in terms of Erlang by one and in words by the other: that it is wrong, alike. */
const detail = /(invalid arg '[^']*' for queue '[^']*' in vhost '[^']*'): [^|]*/g

/** The same methods to RabbitMQ and to us: codes, texts and answers are the same. */
export const compared: Client = {
  name: 'methods, compared with RabbitMQ',
  pinned: versions.rabbitmq,
  from: 'Debian 12',
  serve: likeRabbitmq,
  version: () => versions.rabbitmq,
  missing: () => rabbitmq.missing(),
  async run({ only }, report) {
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-compared-'))
    const ours = await startDragoman({ data: 'memory', protocol: 'amqp', args: likeRabbitmq })
    const theirs = await rabbitmq.start({ directory, durability: 'fsync' })
    try {
      for (const [name, steps] of Object.entries(cases)) {
        if (!name.includes(only ?? '')) continue
        const both = await Promise.all([ours, theirs].map(each => said(each.address, steps)))
        const [found, wanted] = both.map(text => text.replaceAll(detail, '$1'))
        const isSame = found === wanted
        const reason = `ours: ${found}; theirs: ${wanted}`
        const why = meant[name]
        if (isSame && why === undefined) report(`test: ${name}`, { kind: 'passed' })
        else if (isSame)
          report(`test: ${name}`, { kind: 'failed', reason: 'it is the same now: take it out of the list' })
        else if (why !== undefined) report(`test: ${name}`, { kind: 'skipped', reason: why })
        else report(`test: ${name}`, { kind: 'failed', reason })
      }
    } finally {
      await ours.process.stop()
      await theirs.process.stop()
      rmSync(directory, { recursive: true, force: true })
    }
  },
}

/** What becomes of the steps, as one text: the answer of each, and why the channel or the connection was closed. */
async function said(address: string, steps: Case): Promise<string> {
  const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port: Number(portOf(address)) })
  const lines: string[] = []
  try {
    const channel = await driver.channel()
    for (const step of steps) {
      const answer = await within(step(channel, driver)).catch((error: unknown) => textOf(error))
      lines.push(typeof answer === 'string' ? answer : JSON.stringify(answer, plain))
      if (channel.gone) break
    }
    lines.push(await open(channel), driver.gone ? `connection: ${textOf(driver.gone)}` : 'connection open')
  } finally {
    driver.destroy()
  }
  return lines.join(' | ')
}

/** Whether the channel still answers: what is wrong with a message or an ack is told later. */
async function open(channel: DriverChannel): Promise<string> {
  if (channel.gone) return `channel: ${textOf(channel.gone)}`
  return within(channel.qos(0)).then(
    () => 'channel open',
    (error: unknown) => `channel: ${textOf(error)}`,
  )
}

function textOf(error: unknown): string {
  if (error instanceof Refusal) return `${error.code} ${error.message}`
  return error instanceof Error ? error.message : String(error)
}

function plain(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return Buffer.isBuffer(value) ? value.toString('latin1') : value
}

async function within<T>(answer: Promise<T> | T): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), answerMsMax)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
