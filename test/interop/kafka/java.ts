import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaJars, kafkaVersion, resolveKafka } from '../../../bench/peers/kafka.ts'
import { fresh, runChecks, type Check, type Client } from '../suite.ts'
import { versions } from '../versions.ts'

/** Kafka's own client library, by the command line tools that its distribution has. */
export const javaClient: Client = {
  name: 'kafka-clients (Java)',
  pinned: versions.kafka,
  from: 'Maven',
  version: () => kafkaVersion,
  missing: () => resolveKafka(),
  async run({ address }, report) {
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-java-'))
    try {
      await runChecks(javaChecks(new Tools(address, directory)), report)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  },
}

const tools = {
  topics: 'org.apache.kafka.tools.TopicCommand',
  configs: 'kafka.admin.ConfigCommand',
  groups: 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand',
  offsets: 'org.apache.kafka.tools.GetOffsetShell',
  deleteRecords: 'org.apache.kafka.tools.DeleteRecordsCommand',
  consoleProducer: 'org.apache.kafka.tools.ConsoleProducer',
  consoleConsumer: 'org.apache.kafka.tools.consumer.ConsoleConsumer',
  producerPerformance: 'org.apache.kafka.tools.ProducerPerformance',
  verifiableProducer: 'org.apache.kafka.tools.VerifiableProducer',
  verifiableConsumer: 'org.apache.kafka.tools.VerifiableConsumer',
  cluster: 'org.apache.kafka.tools.ClusterTool',
  apiVersions: 'org.apache.kafka.tools.BrokerApiVersionsCommand',
}

class Tools {
  readonly address: string
  readonly directory: string

  constructor(address: string, directory: string) {
    this.address = address
    this.directory = directory
  }

  async run(tool: keyof typeof tools, words: string[], input = ''): Promise<string> {
    const quiet = ['-Xshare:auto', '-XX:TieredStopAtLevel=1', '-Dlog4j2.level=OFF']
    const child = spawn('java', [...quiet, '-cp', `${kafkaJars}/*`, tools[tool], ...words])
    const text = { out: '', error: '' }
    child.stdout.on('data', (chunk: Buffer) => (text.out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text.error += chunk.toString()))
    child.stdin.end(input)
    const code = await new Promise(resolve => child.on('close', resolve))
    assert.equal(code, 0, `${tool} ${words.join(' ')}: ${text.error}${text.out}`)
    return text.out
  }

  server(tool: keyof typeof tools, words: string[], input = ''): Promise<string> {
    return this.run(tool, ['--bootstrap-server', this.address, ...words], input)
  }

  async createTopic(partitionCount = 1): Promise<string> {
    const topic = fresh('java')
    await this.server('topics', ['--create', '--topic', topic, '--partitions', String(partitionCount)])
    return topic
  }

  async send(topic: string, lines: string[], ...words: string[]): Promise<void> {
    await this.server('consoleProducer', ['--topic', topic, ...words], `${lines.join('\n')}\n`)
  }

  async read(topic: string, count: number, ...words: string[]): Promise<string[]> {
    const limits = ['--max-messages', String(count), '--timeout-ms', '20000']
    const text = await this.server('consoleConsumer', ['--topic', topic, '--from-beginning', ...limits, ...words])
    return text.split('\n').filter(line => line !== '')
  }
}

function javaChecks(java: Tools): Check[] {
  const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
  return [
    ...codecs.map((codec): Check => ({ capability: `codec ${codec}`, run: () => roundTrip(java, codec) })),
    { capability: 'headers, keys, timestamps, tombstones', run: () => wholeRecords(java) },
    { capability: 'acks 0, 1, all', run: () => everyAcks(java) },
    { capability: 'idempotent producer', run: () => performance(java) },
    { capability: 'offsets: earliest, latest', run: () => offsets(java) },
    { capability: 'group: commit and resume', run: () => resume(java) },
    { capability: 'group: members come and go', run: () => members(java) },
    { capability: 'admin: topics', run: () => topics(java) },
    { capability: 'admin: partitions', run: () => partitions(java) },
    { capability: 'admin: configs', run: () => configs(java) },
    { capability: 'admin: groups', run: () => groups(java) },
    { capability: 'admin: offsets of a group', run: () => groupOffsets(java) },
    { capability: 'admin: delete records', run: () => deleteRecords(java) },
    { capability: 'admin: cluster', run: () => cluster(java) },
  ]
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `value ${index}`)

async function roundTrip(java: Tools, codec: string): Promise<void> {
  const topic = await java.createTopic()
  await java.send(topic, numbered(300), '--compression-codec', codec)
  assert.deepEqual(await java.read(topic, 300), numbered(300))
}

async function wholeRecords(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  const properties = ['parse.key=true', 'parse.headers=true', 'null.marker=NULL'].flatMap(one => [
    '--reader-property',
    one,
  ])
  await java.send(topic, ['trace:x,more:y\ta\tone', 'trace:z\ta\tNULL'], ...properties)
  const shown = ['print.key', 'print.headers', 'print.timestamp', 'print.offset'].flatMap(name => [
    '--formatter-property',
    `${name}=true`,
  ])
  const lines = await java.read(topic, 2, ...shown)
  assert.match(lines[0] ?? '', /^CreateTime:\d+\tOffset:0\ttrace:x,more:y\ta\tone$/)
  assert.match(lines[1] ?? '', /^CreateTime:\d+\tOffset:1\ttrace:z\ta\tnull$/)
}

async function everyAcks(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  for (const acks of ['0', '1', 'all']) await java.send(topic, [acks], '--request-required-acks', acks)
  assert.deepEqual(await java.read(topic, 3), ['0', '1', 'all'])
}

/** The Java producer is idempotent unless told otherwise. */
async function performance(java: Tools): Promise<void> {
  const topic = await java.createTopic(3)
  const words = ['--topic', topic, '--num-records', '20000', '--record-size', '500', '--throughput', '-1']
  const settings = ['--producer-props', `bootstrap.servers=${java.address}`, 'acks=all', 'batch.size=4096']
  assert.match(await java.run('producerPerformance', [...words, ...settings]), /^20000 records sent/m)
  assert.equal((await java.read(topic, 20_000)).length, 20_000)
}

async function offsets(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  await java.send(topic, numbered(10))
  for (const [time, offset] of [
    ['earliest', 0],
    ['latest', 10],
    ['max-timestamp', 9],
  ] as const) {
    const found = (await java.server('offsets', ['--topic', topic, '--time', time])).trim()
    // Records of one millisecond share the highest timestamp: any of them may be named.
    if (time === 'max-timestamp') assert.match(found, new RegExp(`^${topic}:0:\\d$`))
    else assert.equal(found, `${topic}:0:${offset}`)
  }
}

async function resume(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-group')
  const lines = numbered(20)
  await java.send(topic, lines.slice(0, 10))
  assert.deepEqual(await java.read(topic, 10, '--group', group), lines.slice(0, 10))
  await java.send(topic, lines.slice(10))
  assert.deepEqual(await java.read(topic, 10, '--group', group), lines.slice(10))
}

async function members(java: Tools): Promise<void> {
  const topic = await java.createTopic(4)
  const group = fresh('java-members')
  const sent = java.run('verifiableProducer', [
    '--bootstrap-server',
    java.address,
    '--topic',
    topic,
    '--max-messages',
    '2000',
    '--throughput',
    '300',
  ])
  const read = (count: number) =>
    java.run('verifiableConsumer', [
      '--bootstrap-server',
      java.address,
      '--topic',
      topic,
      '--group-id',
      group,
      '--max-messages',
      String(count),
      '--reset-policy',
      'earliest',
    ])
  const texts = await Promise.all([read(600), read(600), sent])
  for (const text of texts.slice(0, 2)) {
    assert.match(text, /"name":"partitions_assigned"/)
    assert.match(text, /"name":"shutdown_complete"/)
  }
}

async function topics(java: Tools): Promise<void> {
  const topic = await java.createTopic(3)
  assert.match(await java.server('topics', ['--describe', '--topic', topic]), /PartitionCount: 3/)
  assert.ok((await java.server('topics', ['--list'])).split('\n').includes(topic))
  await java.server('topics', ['--delete', '--topic', topic])
  assert.ok(!(await java.server('topics', ['--list'])).split('\n').includes(topic))
}

async function partitions(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  await java.server('topics', ['--alter', '--topic', topic, '--partitions', '4'])
  assert.match(await java.server('topics', ['--describe', '--topic', topic]), /PartitionCount: 4/)
}

async function configs(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  const entity = ['--entity-type', 'topics', '--entity-name', topic]
  await java.server('configs', ['--alter', ...entity, '--add-config', 'retention.ms=70000,max.message.bytes=4096'])
  const described = await java.server('configs', ['--describe', ...entity])
  assert.match(described, /retention\.ms=70000/)
  assert.match(described, /max\.message\.bytes=4096/)
  await java.server('configs', ['--alter', ...entity, '--delete-config', 'retention.ms'])
  assert.doesNotMatch(await java.server('configs', ['--describe', ...entity]), /retention\.ms=70000/)
}

async function groups(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-described')
  await java.send(topic, numbered(10))
  await java.read(topic, 10, '--group', group)
  assert.ok((await java.server('groups', ['--list'])).split('\n').includes(group))
  const described = await java.server('groups', ['--describe', '--group', group])
  assert.match(described, new RegExp(`${group}\\s+${topic}\\s+0\\s+10\\s+10\\s+0`))
  assert.match(await java.server('groups', ['--describe', '--group', group, '--state']), /Empty/)
  assert.match(await java.server('groups', ['--delete', '--group', group]), /successful/)
}

async function groupOffsets(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-reset')
  await java.send(topic, numbered(10))
  await java.read(topic, 10, '--group', group)
  const reset = ['--reset-offsets', '--group', group, '--topic', topic, '--execute']
  await java.server('groups', [...reset, '--to-offset', '7'])
  assert.match(
    await java.server('groups', ['--describe', '--group', group]),
    new RegExp(`${topic}\\s+0\\s+7\\s+10\\s+3`),
  )
  await java.server('groups', [...reset, '--to-earliest'])
  assert.match(
    await java.server('groups', ['--describe', '--group', group]),
    new RegExp(`${topic}\\s+0\\s+0\\s+10\\s+10`),
  )
  await java.server('groups', ['--delete-offsets', '--group', group, '--topic', topic])
  assert.doesNotMatch(await java.server('groups', ['--describe', '--group', group]), new RegExp(topic))
}

async function deleteRecords(java: Tools): Promise<void> {
  const topic = await java.createTopic()
  await java.send(topic, numbered(10))
  const file = join(java.directory, 'delete.json')
  writeFileSync(file, JSON.stringify({ version: 1, partitions: [{ topic, partition: 0, offset: 6 }] }))
  await java.server('deleteRecords', ['--offset-json-file', file])
  assert.deepEqual(await java.read(topic, 4), numbered(10).slice(6))
}

async function cluster(java: Tools): Promise<void> {
  assert.match(
    await java
      .server('cluster', ['cluster-id'])
      .catch(() => java.run('cluster', ['cluster-id', '--bootstrap-server', java.address])),
    /Cluster ID: \S+/,
  )
  assert.match(await java.server('apiVersions', []), /Produce\(0\)/)
}
