import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { resolveKafka } from '../../../bench/peers/kafka.ts'
import { fill, type Step } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import type { Client, Outcome, Place, Report } from '../suite.ts'
import { versions } from '../versions.ts'
import { fetchPackage, librdkafkaDirectory } from './confluent-javascript.ts'
import { makeKafkaHome } from './kafka-home.ts'

const tests = join(librdkafkaDirectory, 'tests')
const second = 1000

/** librdkafka's own tests, those that need a broker and do not start or stop it. */
export const librdkafkaClient: Client = {
  name: 'librdkafka, its own tests',
  pinned: versions.librdkafka,
  from: 'npm, sources in the package of @confluentinc/kafka-javascript',
  // What its makers' own set-up of a broker has, as far as the tests count on it.
  serve: [
    '--topic-partitions',
    '4',
    '--authorization',
    'on',
    '--without-rule',
    'allow',
    '--flush-interval',
    '2s',
    '--retention-check-interval',
    '2s',
  ],
  version: () => versions.librdkafka,
  missing: () => fetchPackage() ?? resolveKafka() ?? build(),
  async run(place, report) {
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-librdkafka-'))
    makeKafkaHome(directory)
    try {
      for (const number of numbers()) {
        if (number.includes(place.only ?? '')) await runNumber(place, directory, number, report)
      }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  },
}

function build(): string | undefined {
  const make: Step = { command: 'make', args: ['-j2', 'test-runner'], cwd: tests }
  return fill(join(librdkafkaDirectory, 'built'), () => [make])
}

/** The numbers of the tests that need a broker, one process each. */
function numbers(): string[] {
  const source = readFileSync(join(tests, 'test.c'), 'utf8')
  const entries = source.matchAll(/^ +_TEST\((\d{4})\w*,\s*([\w\s|]+)/gm)
  const needed = [...entries].filter(([, , flags = '']) => !/LOCAL|SOCKEM|KNOWN_ISSUE\b|MANUAL/.test(flags))
  return [...new Set(needed.map(([, number = '']) => number))].filter(number => number < '8000').toSorted()
}

/** Parts of tests that can be run although the whole cannot pass. */
const parts: Readonly<Record<string, readonly string[]>> = {
  '0081': [
    ...['DeleteTopics', 'CreatePartitions', 'DescribeConfigs', 'DeleteRecords', 'DeleteGroups', 'ListConsumerGroups'],
    ...['DescribeTopics', 'DescribeCluster', 'ListOffsets', 'UserScramCredentials', 'CreateAcls', 'DescribeAcls'],
    ...['DeleteAcls', 'DeleteConsumerGroupOffsets', 'AlterConsumerGroupOffsets', 'ListConsumerGroupOffsets'],
  ].map(operation => `do_test_${operation}`),
  '0103': ['do_test_misuse_txn', 'do_test_fenced_txn'],
}

async function runNumber(place: Place, directory: string, number: string, report: Report): Promise<void> {
  for (const part of parts[number] ?? []) {
    for (const { name, outcome } of await attempt(place, directory, number, ['-Q'], part)) {
      report(`test: ${name} ${part}`, outcome)
    }
  }
  let results = await attempt(place, directory, number, ['-Q'])
  // What is left out in a quick run is run in full, and what failed has a second chance: many tests count on time.
  if (results.some(({ outcome }) => outcome.kind === 'skipped' && outcome.reason.includes('quick mode'))) {
    results = await attempt(place, directory, number, [])
  }
  if (results.some(({ outcome }) => outcome.kind === 'failed'))
    results = await attempt(place, directory, number, ['-Q'])
  for (const { name, outcome } of results) report(`test: ${name}`, outcome)
}

interface TestResult {
  name: string
  outcome: Outcome
}

async function attempt(
  place: Place,
  directory: string,
  number: string,
  words: string[],
  part?: string,
): Promise<TestResult[]> {
  const config = join(directory, 'test.conf')
  writeFileSync(config, `bootstrap.servers=${place.address}\ntest.timeout.multiplier=3\n`)
  const ended = await runToEnd({
    command: './test-runner',
    args: ['-p1', '-L', '-K', '-E', ...words],
    cwd: tests,
    timeoutMs: 400 * second,
    env: {
      TESTS: number,
      ...(part !== undefined && { SUBTESTS: part }),
      TEST_KAFKA_VERSION: versions.kafka,
      RDKAFKA_TEST_CONF: config,
      KAFKA_PATH: directory,
      BROKERS: place.address,
      LD_LIBRARY_PATH: `${librdkafkaDirectory}/src:${librdkafkaDirectory}/src-cpp`,
    },
  })
  // oxlint-disable-next-line no-control-regex -- It colours its output.
  return resultsIn(`${ended.out}\n${ended.error}`.replaceAll(/\u001b\[[0-9;]*m/g, ''), number)
}

function resultsIn(text: string, number: string): TestResult[] {
  const results = [...text.matchAll(/=+ Test (\S+) (PASSED|FAILED|SKIPPED) =+/g)].flatMap(([, name = '', word]) => {
    if (!name.startsWith(number)) return []
    const outcome = outcomeOf(text, name, word)
    return outcome === undefined ? [] : [{ name, outcome }]
  })
  if (results.length > 0 || text.includes('ALL TESTS PASSED')) return results
  // A failure that leaves threads behind aborts the process; so does one that waits for ever.
  const said = new RegExp(`### Test "(${number}\\w*)[^\\n]*\\n([^\\n]*)`).exec(text)
  const reason = said?.[2] ?? `it ended without a result: ${text.trim().slice(-300)}`
  return [{ name: said?.[1] ?? number, outcome: { kind: 'failed', reason } }]
}

function outcomeOf(text: string, name: string, word: string | undefined): Outcome | undefined {
  const escaped = name.replaceAll(/[^\w]/g, '.')
  if (word === 'FAILED') {
    const said = new RegExp(`### Test "${escaped}[^\\n]*\\n([^\\n]*)`).exec(text)
    return { kind: 'failed', reason: said?.[1] ?? 'it does not say why' }
  }
  const skipped = new RegExp(`\\[${escaped} [^\\]]*\\] WARN: SKIPPING TEST: ([^\\n]*)`).exec(text)?.[1]
  if (skipped === undefined && word === 'PASSED') return { kind: 'passed' }
  return skipped?.includes('test flags') ? undefined : { kind: 'skipped', reason: skipped ?? 'it says not why' }
}
