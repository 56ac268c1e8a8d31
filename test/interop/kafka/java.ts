import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaVersion, resolveKafka } from '../../../bench/peers/kafka.ts'
import { fresh, runChecks, type Check, type Client } from '../suite.ts'
import { versions } from '../versions.ts'
import { commandChecks } from './java-commands.ts'
import { JavaTools, numbered } from './java-tools.ts'

/** The commands of Kafka's own distribution, which use its Java client. */
export const javaToolsClient: Client = {
  name: 'Kafka command-line tools',
  pinned: versions.kafka,
  from: 'Maven',
  version: () => kafkaVersion,
  missing: () => resolveKafka(),
  async run({ address }, report) {
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-java-'))
    try {
      const java = new JavaTools(address, directory)
      await runChecks([...javaChecks(java), ...commandChecks(java)], report)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  },
}

function javaChecks(java: JavaTools): Check[] {
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

async function roundTrip(java: JavaTools, codec: string): Promise<void> {
  const topic = await java.createTopic()
  await java.send(topic, numbered(300), '--compression-codec', codec)
  assert.deepEqual(await java.read(topic, 300), numbered(300))
}

async function wholeRecords(java: JavaTools): Promise<void> {
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

async function everyAcks(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  for (const acks of ['0', '1', 'all']) await java.send(topic, [acks], '--request-required-acks', acks)
  assert.deepEqual(await java.read(topic, 3), ['0', '1', 'all'])
}

/** The Java producer is idempotent unless told otherwise. */
async function performance(java: JavaTools): Promise<void> {
  const topic = await java.createTopic(3)
  const words = ['--topic', topic, '--num-records', '20000', '--record-size', '500', '--throughput', '-1']
  const settings = ['--producer-props', `bootstrap.servers=${java.address}`, 'acks=all', 'batch.size=4096']
  assert.match(await java.run('kafka-producer-perf-test', [...words, ...settings]), /^20000 records sent/m)
  assert.equal((await java.read(topic, 20_000)).length, 20_000)
}

async function offsets(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  await java.send(topic, numbered(10))
  for (const [time, offset] of [
    ['earliest', 0],
    ['latest', 10],
    ['max-timestamp', 9],
  ] as const) {
    const found = (await java.server('kafka-get-offsets', ['--topic', topic, '--time', time])).trim()
    // Records of one millisecond share the highest timestamp: any of them may be named.
    if (time === 'max-timestamp') assert.match(found, new RegExp(`^${topic}:0:\\d$`))
    else assert.equal(found, `${topic}:0:${offset}`)
  }
}

async function resume(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-group')
  const lines = numbered(20)
  await java.send(topic, lines.slice(0, 10))
  assert.deepEqual(await java.read(topic, 10, '--group', group), lines.slice(0, 10))
  await java.send(topic, lines.slice(10))
  assert.deepEqual(await java.read(topic, 10, '--group', group), lines.slice(10))
}

async function members(java: JavaTools): Promise<void> {
  const topic = await java.createTopic(4)
  const group = fresh('java-members')
  const sent = java.run('kafka-verifiable-producer', [
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
    java.run('kafka-verifiable-consumer', [
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

async function topics(java: JavaTools): Promise<void> {
  const topic = await java.createTopic(3)
  assert.match(await java.server('kafka-topics', ['--describe', '--topic', topic]), /PartitionCount: 3/)
  assert.ok((await java.server('kafka-topics', ['--list'])).split('\n').includes(topic))
  await java.server('kafka-topics', ['--delete', '--topic', topic])
  assert.ok(!(await java.server('kafka-topics', ['--list'])).split('\n').includes(topic))
}

async function partitions(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  await java.server('kafka-topics', ['--alter', '--topic', topic, '--partitions', '4'])
  assert.match(await java.server('kafka-topics', ['--describe', '--topic', topic]), /PartitionCount: 4/)
}

async function configs(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const entity = ['--entity-type', 'topics', '--entity-name', topic]
  await java.server('kafka-configs', [
    '--alter',
    ...entity,
    '--add-config',
    'retention.ms=70000,max.message.bytes=4096',
  ])
  const described = await java.server('kafka-configs', ['--describe', ...entity])
  assert.match(described, /retention\.ms=70000/)
  assert.match(described, /max\.message\.bytes=4096/)
  await java.server('kafka-configs', ['--alter', ...entity, '--delete-config', 'retention.ms'])
  assert.doesNotMatch(await java.server('kafka-configs', ['--describe', ...entity]), /retention\.ms=70000/)
}

async function groups(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-described')
  await java.send(topic, numbered(10))
  await java.read(topic, 10, '--group', group)
  assert.ok((await java.server('kafka-consumer-groups', ['--list'])).split('\n').includes(group))
  const described = await java.server('kafka-consumer-groups', ['--describe', '--group', group])
  assert.match(described, new RegExp(`${group}\\s+${topic}\\s+0\\s+10\\s+10\\s+0`))
  assert.match(await java.server('kafka-consumer-groups', ['--describe', '--group', group, '--state']), /Empty/)
  assert.match(await java.server('kafka-consumer-groups', ['--delete', '--group', group]), /successful/)
}

async function groupOffsets(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-reset')
  await java.send(topic, numbered(10))
  await java.read(topic, 10, '--group', group)
  const reset = ['--reset-offsets', '--group', group, '--topic', topic, '--execute']
  await java.server('kafka-consumer-groups', [...reset, '--to-offset', '7'])
  assert.match(
    await java.server('kafka-consumer-groups', ['--describe', '--group', group]),
    new RegExp(`${topic}\\s+0\\s+7\\s+10\\s+3`),
  )
  await java.server('kafka-consumer-groups', [...reset, '--to-earliest'])
  assert.match(
    await java.server('kafka-consumer-groups', ['--describe', '--group', group]),
    new RegExp(`${topic}\\s+0\\s+0\\s+10\\s+10`),
  )
  await java.server('kafka-consumer-groups', ['--delete-offsets', '--group', group, '--topic', topic])
  assert.doesNotMatch(await java.server('kafka-consumer-groups', ['--describe', '--group', group]), new RegExp(topic))
}

async function deleteRecords(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  await java.send(topic, numbered(10))
  const file = join(java.directory, 'delete.json')
  writeFileSync(file, JSON.stringify({ version: 1, partitions: [{ topic, partition: 0, offset: 6 }] }))
  await java.server('kafka-delete-records', ['--offset-json-file', file])
  assert.deepEqual(await java.read(topic, 4), numbered(10).slice(6))
}

async function cluster(java: JavaTools): Promise<void> {
  assert.match(
    await java
      .server('kafka-cluster', ['cluster-id'])
      .catch(() => java.run('kafka-cluster', ['cluster-id', '--bootstrap-server', java.address])),
    /Cluster ID: \S+/,
  )
  assert.match(await java.server('kafka-broker-api-versions', []), /Produce\(0\)/)
}
