import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startDragoman, type Dragoman } from '../test/support/dragoman.ts'
import { Ledger } from './packages/ledger.ts'
import { keyOf, readParagraphs } from './packages/paragraphs.ts'
import { createTopic, endOffsets, publishWithKafkajs, publishWithKcat } from './packages/publish.ts'

/*
 * Every paragraph of a Debian package list goes to a topic of six partitions, keyed by package name, half of the names by
 * kcat and half by kafkajs, and all of it a second time, as a list that was refreshed. A group of three consumers reads it
 * while one of them is killed and another one joins. Then everything is compared.
 */

const partitionCount = 6
const rounds = 2
const memberCount = 3

/** A member takes bites and rests after each one, so that the whole takes seconds and there is something to interrupt. */
const biteBytesMax = 48 * 1024
const consumeMs = 6_000

const { values } = parseArgs({
  options: {
    broker: { type: 'string' },
    sample: { type: 'boolean', default: false },
    limit: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(`usage: npm run example:packages -- [--broker HOST:PORT] [--sample] [--limit PARAGRAPHS]
Without --broker a broker of its own is started and stopped. --sample takes the list in this folder instead of apt's.
`)
  process.exit(0)
}

const directory = mkdtempSync(join(tmpdir(), 'dragoman-packages-'))
const members: ChildProcess[] = []
let broker: Dragoman | undefined
try {
  broker = values.broker === undefined ? await startDragoman({ data: join(directory, 'data') }) : undefined
  await run(values.broker ?? broker?.address ?? '')
} finally {
  for (const member of members) member.kill('SIGKILL')
  await broker?.process.stop()
  rmSync(directory, { recursive: true, force: true })
}
process.exit()

async function run(address: string): Promise<void> {
  const { paragraphs, source } = readParagraphs(
    values.sample,
    values.limit === undefined ? Infinity : Number(values.limit),
  )
  const bytes = paragraphs.reduce((sum, paragraph) => sum + Buffer.byteLength(paragraph), 0)
  say(`${paragraphs.length} paragraphs, ${megabytes(bytes)}, from ${source}`)
  const topic = `packages-${Date.now()}`
  await createTopic(address, topic, partitionCount)
  await publish(address, topic, paragraphs)
  const ends = await endOffsets(address, topic)
  say(`${topic}: ${ends.map((end, partition) => `${partition} has ${end}`).join(', ')}`)

  const ledger = new Ledger(directory, ends)
  const biteBytes = Math.min(biteBytesMax, Math.ceil((bytes * rounds) / 60))
  const restMs = Math.round((consumeMs * memberCount) / ((bytes * rounds) / biteBytes))
  const start = (name: string): ChildProcess => {
    const script = join(import.meta.dirname, 'packages', 'member.ts')
    const member = spawn(
      process.execPath,
      [
        '--disable-warning=TimeoutNegativeWarning',
        script,
        address,
        topic,
        name,
        ledger.fileOf(name),
        String(biteBytes),
        String(restMs),
      ],
      { stdio: 'inherit' },
    )
    members.push(member)
    return member
  }
  const first = start('member-1')
  for (let number = 2; number <= memberCount; number++) start(`member-${number}`)
  const total = ends.reduce((sum, end) => sum + end, 0)
  await until(ledger, () => ledger.seenBy('member-1') > 0 && ledger.distinct >= total / 4)
  first.kill('SIGKILL')
  say(`member-1 killed when ${ledger.distinct} of ${total} records had been consumed; member-4 joins`)
  const last = `member-${memberCount + 1}`
  start(last)
  await until(ledger, () => ledger.distinct === total && ledger.hasJoined(last))
  report(ledger, paragraphs)
}

async function publish(address: string, topic: string, paragraphs: string[]): Promise<void> {
  const kcat = spawnSync('kcat', ['-V']).status === 0
  if (!kcat) say('kcat is not on this machine (apt install kcat): kafkajs publishes everything')
  const byKcat = kcat ? paragraphs.filter((_, index) => index % 2 === 0) : []
  const byKafkajs = kcat ? paragraphs.filter((_, index) => index % 2 === 1) : paragraphs
  for (let round = 1; round <= rounds; round++) {
    const startedAt = performance.now()
    await Promise.all([
      byKcat.length > 0 ? publishWithKcat(address, topic, byKcat, round) : undefined,
      publishWithKafkajs(address, topic, byKafkajs, round),
    ])
    const seconds = (performance.now() - startedAt) / 1000
    say(`round ${round}: ${byKcat.length} published by kcat, ${byKafkajs.length} by kafkajs in ${seconds.toFixed(1)} s`)
  }
}

function report(ledger: Ledger, paragraphs: string[]): void {
  const { duplicates, unexplained, assigned } = ledger.result()
  for (const [name, text] of assigned) say(`  ${name}: ${text}`)
  const problems = ledger.compare(
    paragraphs.map(paragraph => ({ key: keyOf(paragraph), paragraph })),
    rounds,
  )
  const sums = ledger.checksums(
    paragraphs.map(paragraph => ({ key: keyOf(paragraph), paragraph })),
    rounds,
  )
  say(`consumed ${ledger.distinct} records, each at least once; ${duplicates} a second time after the kill`)
  say(`  duplicates that lie before a commit: ${unexplained} (0 expected)`)
  say(`  checksum over all keys and their records in order: published ${sums.published}, consumed ${sums.consumed}`)
  say(`  keys whose records are missing, altered, doubled or out of order: ${problems.length} (0 expected)`)
  for (const problem of problems.slice(0, 5)) say(`    ${problem}`)
  const good = unexplained === 0 && problems.length === 0 && sums.published === sums.consumed
  say(good ? 'All equal.' : 'NOT equal.')
  process.exitCode = good ? 0 : 1
}

async function until(ledger: Ledger, condition: () => boolean): Promise<void> {
  for (let waited = 0; ; waited += 100) {
    ledger.collect()
    if (condition()) return
    if (waited > 300_000) throw new Error(`Only ${ledger.distinct} records after five minutes`)
    await sleep(100)
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
