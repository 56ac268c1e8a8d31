import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import type { NewRecord } from '@dragoman/broker/record-batch'
import { count, text, toggle } from '@dragoman/broker/options'
import { brokerOptions, type BrokerTarget } from '../broker-options.ts'
import { Cluster } from '../cluster.ts'
import { CommandError, defineCommand, option, optional, repeated, UsageError } from '../command.ts'
import { readLines } from '../input.ts'
import { readJsonRecord } from '../json-records.ts'
import { Producer } from '../producer.ts'
import { afterPublishing, Progress } from '../progress.ts'
import { managementOptions } from '../management.ts'
import { queueOptions } from '../queue-connection.ts'
import { publishToQueues, queuePublishOptions } from '../queue-publisher.ts'
import { assignment } from '../settings.ts'

const lineBytesMax = 64 * 1024 * 1024

export const publish = defineCommand({
  name: 'publish',
  summary: 'Publish messages to a topic, a queue or an exchange.',
  words: [
    {
      name: 'TOPIC',
      help: 'The topic; it is created if the broker creates topics on first use. Left out with --queue and --exchange.',
      optional: true,
    },
    { name: 'MESSAGE', help: 'One message each. Without any, each line of stdin is one.', optional: true, many: true },
  ],
  options: {
    ...brokerOptions,
    file: optional(text('FILE', 'a file, or - for stdin'), 'Read lines from here instead of stdin.'),
    whole: option(toggle, false, 'The whole file is one message.'),
    json: option(toggle, false, 'Lines are JSON objects: key, value, headers, partition, timestamp.'),
    key: optional(text('KEY', 'a text'), 'Key of every message.'),
    keySeparator: optional(text('TEXT', 'a text'), 'What comes before it in a line is the key.'),
    header: repeated(assignment, 'Header of every message.'),
    partition: optional(
      count(0, 1_000_000, 'NUMBER'),
      'Partition for all; without it the key decides, as in the Java client.',
    ),
    quiet: option(toggle, false, 'No word on stderr when all is well.'),
    ...queueOptions,
    management: { ...managementOptions.management, section: 'For queues and exchanges' },
    ...queuePublishOptions,
  },
  examples: [
    ['dragoman publish orders "first order" "second order"', 'Two messages.'],
    ['dragoman publish orders --key-separator : < orders.txt', 'Each line "KEY:VALUE" becomes a message with a key.'],
    [
      `echo '{"key":"k","value":{"a":1},"headers":{"h":"x"}}' | dragoman publish orders --json`,
      'JSON lines; a value that is no string is published as JSON.',
    ],
    [
      'dragoman consume a --format json | dragoman publish b --json',
      'Copies a topic, with keys, headers, times and partitions.',
    ],
    ['dragoman publish images --file cat.png --whole --key cat', 'A file as one message.'],
    ['dragoman publish --queue work --priority 5 "do it"', 'To a queue.'],
    ['dragoman publish --exchange shop --routing-key order.new < orders.txt', 'Wherever the exchange leads.'],
    ['dragoman publish --queue work --delay 2h "not yet"', 'It comes to the queue in two hours.'],
  ],
  notes: `Exit code 0 means that the broker has acknowledged every message. In a topic each is stored once: what must be sent again
after a lost connection is recognised, and the command tries for 30 s. To queues and exchanges nothing is sent again.
Messages with equal keys keep their order.`,
  async run({ options, words }) {
    const { quiet, partition, file, json, keySeparator, key, whole } = options
    const isQueued = options.queue !== undefined || options.exchange !== undefined
    const [topic, ...messages] = isQueued ? ['', ...words] : words
    if (topic === undefined) throw new UsageError('TOPIC is missing; see dragoman help publish')
    if (messages.length > 0 && file !== undefined) throw new UsageError('Give either messages or --file')
    if (json && (keySeparator !== undefined || key !== undefined))
      throw new UsageError('With --json the key is in the line')
    if (whole && (file === undefined || json)) throw new UsageError('--whole needs --file, and goes without --json')
    if (isQueued) {
      if (json || key !== undefined || keySeparator !== undefined || partition !== undefined)
        throw new UsageError('--json, --key, --key-separator and --partition are for topics')
      await publishToQueues(options, inputs(messages, file, whole))
      return undefined
    }
    const { routingKey, delay, priority, ttl, contentType } = options
    if ([routingKey, delay, priority, ttl, contentType].some(given => given !== undefined))
      throw new UsageError(
        '--routing-key, --delay, --priority, --ttl and --content-type are for queues and exchanges: give --queue or --exchange',
      )
    const producer = await openProducer(options, topic)
    const progress = new Progress()
    try {
      const toRecord = json ? fromJson : fromLine(options)
      for await (const lines of inputs(messages, file, whole)) {
        for (const line of lines) {
          const { record, partition: own } = toRecord(line)
          await producer.add(record, partition ?? own)
        }
        producer.kick()
        progress.update(producer.published, producer.publishedBytes)
      }
      await producer.flush()
      if (!quiet) progress.finish(producer.published, producer.publishedBytes, 'Published')
    } catch (error) {
      throw afterPublishing(error, producer.published)
    } finally {
      producer.close()
    }
    return undefined
  },
})

/** The producer takes over the connection, and opens others when it is lost. */
async function openProducer(target: BrokerTarget, topic: string): Promise<Producer> {
  const cluster = await Cluster.connect(target)
  try {
    return await Producer.open(cluster, await cluster.topic(topic, true))
  } catch (error) {
    cluster.close()
    throw error
  }
}

interface Destined {
  record: NewRecord
  partition: number | undefined
}

/** Messages in lists of what has come together. */
async function* inputs(
  messages: readonly string[],
  file: string | undefined,
  whole: boolean,
): AsyncGenerator<Buffer[]> {
  if (messages.length > 0) return yield messages.map(message => Buffer.from(message))
  try {
    if (whole && file !== undefined && file !== '-') return yield [await readFile(file)]
    if (whole) return yield [Buffer.concat(await process.stdin.toArray())]
    const input: Readable =
      file === undefined || file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 1 << 18 })
    yield* readLines(input, lineBytesMax)
  } catch (error) {
    if (error instanceof Error && 'code' in error && file !== undefined)
      throw new CommandError(`Cannot read ${file}: ${error.message}`)
    throw error
  }
}

function fromJson(line: Buffer): Destined {
  try {
    const { record, partition } = readJsonRecord(line)
    return { record: { ...record, timestampMs: record.timestampMs ?? Date.now() }, partition }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    throw new CommandError(`Cannot take the line ${line.toString('utf8', 0, 100)}: ${error.message}`)
  }
}

function fromLine(options: {
  key: string | undefined
  keySeparator: string | undefined
  header: readonly (readonly [string, string])[]
}) {
  const headers = options.header.map(([key, value]) => ({ key, value: Buffer.from(value) }))
  const key = options.key === undefined ? null : Buffer.from(options.key)
  const separator = options.keySeparator === undefined ? undefined : Buffer.from(options.keySeparator)
  return (line: Buffer): Destined => {
    const at = separator === undefined ? -1 : line.indexOf(separator)
    const split = separator !== undefined && at >= 0
    const record = {
      key: split ? line.subarray(0, at) : key,
      value: split ? line.subarray(at + separator.length) : line,
      headers,
      timestampMs: Date.now(),
    }
    return { record, partition: undefined }
  }
}
