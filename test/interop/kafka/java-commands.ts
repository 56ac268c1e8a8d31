import assert from 'node:assert/strict'
import kafkajs from 'kafkajs'
import { fresh, until, type Check } from '../suite.ts'
import { numbered, type JavaTools } from './java-tools.ts'
import type { Command } from './kafka-home.ts'

const { Kafka, logLevel } = kafkajs

/** What the commands do that the capabilities do not ask for. */
export function commandChecks(java: JavaTools): Check[] {
  const check = (command: Command, run: (java: JavaTools) => Promise<void>, about = ''): Check => ({
    capability: `tool: ${command}${about === '' ? '' : ` (${about})`}`,
    run: () => run(java),
  })
  return [
    check('kafka-configs', brokerConfigs, 'brokers'),
    check('kafka-configs', clientConfigs, 'quotas of clients'),
    check('kafka-configs', userConfigs, 'SCRAM of users'),
    check('kafka-configs', groupConfigs, 'groups'),
    check('kafka-groups', groups),
    check('kafka-share-groups', shareGroups),
    check('kafka-console-share-consumer', consoleShareConsumer),
    check('kafka-transactions', transactions),
    check('kafka-acls', acls),
    check('kafka-log-dirs', logDirs),
    check('kafka-leader-election', leaderElection),
    check('kafka-metadata-quorum', quorum),
    check('kafka-features', features),
    check('kafka-client-metrics', clientMetrics),
    check('kafka-producer-perf-test', producerPerformance),
    check('kafka-producer-perf-test', transactionalPerformance, 'transactions'),
    check('kafka-consumer-perf-test', consumerPerformance),
    check('kafka-share-consumer-perf-test', sharePerformance),
    check('kafka-e2e-latency', latency),
    check('kafka-verifiable-producer', verifiable),
    check('kafka-verifiable-share-consumer', verifiableShare),
  ]
}

async function brokerConfigs(java: JavaTools): Promise<void> {
  const described = await java.server('kafka-configs', [
    '--describe',
    '--all',
    '--entity-type',
    'brokers',
    '--entity-name',
    '1',
  ])
  assert.match(described, /num\.partitions=\d/)
}

async function clientConfigs(java: JavaTools): Promise<void> {
  const entity = ['--entity-type', 'clients', '--entity-name', fresh('client')]
  await java.server('kafka-configs', [
    '--alter',
    ...entity,
    '--add-config',
    'producer_byte_rate=12345,request_percentage=50',
  ])
  assert.match(await java.server('kafka-configs', ['--describe', ...entity]), /producer_byte_rate=12345/)
  await java.server('kafka-configs', ['--alter', ...entity, '--delete-config', 'producer_byte_rate'])
  const rest = await java.server('kafka-configs', ['--describe', ...entity])
  assert.doesNotMatch(rest, /producer_byte_rate/)
  assert.match(rest, /request_percentage=50/)
}

async function userConfigs(java: JavaTools): Promise<void> {
  const entity = ['--entity-type', 'users', '--entity-name', fresh('user')]
  const secret = 'SCRAM-SHA-256=[iterations=4096,password=a-secret]'
  await java.server('kafka-configs', ['--alter', ...entity, '--add-config', secret])
  assert.match(await java.server('kafka-configs', ['--describe', ...entity]), /SCRAM-SHA-256=iterations=4096/)
  await java.server('kafka-configs', ['--alter', ...entity, '--delete-config', 'SCRAM-SHA-256'])
  assert.doesNotMatch(await java.server('kafka-configs', ['--describe', ...entity]), /iterations/)
}

async function groupConfigs(java: JavaTools): Promise<void> {
  const entity = ['--entity-type', 'groups', '--entity-name', fresh('java-group')]
  await java.server('kafka-configs', ['--alter', ...entity, '--add-config', 'share.auto.offset.reset=earliest'])
  assert.match(await java.server('kafka-configs', ['--describe', ...entity]), /share\.auto\.offset\.reset=earliest/)
}

async function groups(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const classic = fresh('java-classic')
  const modern = fresh('java-modern')
  await java.send(topic, numbered(3))
  await java.read(topic, 3, '--group', classic)
  await java.read(topic, 3, '--group', modern, '--consumer-property', 'group.protocol=consumer')
  const listed = await java.server('kafka-groups', ['--list'])
  assert.match(listed, new RegExp(`${classic}\\s+Classic\\s+consumer`))
  assert.match(listed, new RegExp(`${modern}\\s+Consumer\\s+consumer`))
}

async function fromEarliest(java: JavaTools, group: string): Promise<void> {
  const entity = ['--entity-type', 'groups', '--entity-name', group]
  await java.server('kafka-configs', ['--alter', ...entity, '--add-config', 'share.auto.offset.reset=earliest'])
}

async function shareRead(java: JavaTools, topic: string, group: string, count: number): Promise<string[]> {
  const words = ['--topic', topic, '--group', group, '--max-messages', String(count), '--timeout-ms', '20000']
  const text = await java.server('kafka-console-share-consumer', words)
  return text.split('\n').filter(line => line !== '')
}

async function consoleShareConsumer(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-share')
  await fromEarliest(java, group)
  await java.send(topic, numbered(10))
  assert.deepEqual(await shareRead(java, topic, group, 10), numbered(10))
}

async function shareGroups(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-share')
  await fromEarliest(java, group)
  await java.send(topic, numbered(10))
  await shareRead(java, topic, group, 10)
  const admin = (...words: string[]) => java.server('kafka-share-groups', words)
  assert.match(await admin('--list'), new RegExp(`^${group}\\s*$`, 'm'))
  await until(async () => /Empty/.test(await admin('--describe', '--group', group, '--state')))
  const offsets = () => admin('--describe', '--group', group, '--offsets')
  // Partition, start, lag: Kafka moves the start when it likes.
  assert.match(await offsets(), new RegExp(`${group}\\s+${topic}\\s+0\\s+\\d+\\s+0`))
  await admin('--reset-offsets', '--group', group, '--topic', topic, '--to-earliest', '--execute')
  assert.match(await offsets(), new RegExp(`${group}\\s+${topic}\\s+0\\s+0`))
  assert.deepEqual(await shareRead(java, topic, group, 10), numbered(10))
  await until(async () => /Empty/.test(await admin('--describe', '--group', group, '--state')))
  await admin('--delete-offsets', '--group', group, '--topic', topic)
  assert.match(await admin('--delete', '--group', group), /successful/)
}

async function transactions(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const transactionalId = fresh('java-transaction')
  const kafka = new Kafka({ brokers: [java.address], logLevel: logLevel.NOTHING })
  const producer = kafka.producer({
    transactionalId,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionTimeout: 60_000,
  })
  await producer.connect()
  try {
    const transaction = await producer.transaction()
    await transaction.send({ topic, messages: [{ value: 'open' }] })
    const admin = (...words: string[]) => java.server('kafka-transactions', words)
    assert.match(await admin('list'), new RegExp(`${transactionalId}\\s+\\d+\\s+\\d+\\s+Ongoing`))
    assert.match(await admin('describe', '--transactional-id', transactionalId), new RegExp(`Ongoing.*${topic}-0`, 's'))
    const producers = await admin('describe-producers', '--topic', topic, '--partition', '0')
    assert.match(producers, /^\d+\s+\d+\s+-?\d+\s+\d+\s+\d+\s+0/m)
    // Producer id, epoch and where the transaction starts, by which an administrator ends it.
    await admin('abort', '--topic', topic, '--partition', '0', '--start-offset', '0')
    await until(async () => /None/.test(await admin('describe-producers', '--topic', topic, '--partition', '0')))
  } finally {
    await producer.disconnect()
  }
}

async function acls(java: JavaTools): Promise<void> {
  const principal = `User:${fresh('user')}`
  const topic = fresh('java-acl')
  const rule = ['--allow-principal', principal, '--operation', 'Read', '--topic', topic]
  const admin = (...words: string[]) => java.server('kafka-acls', words)
  assert.match(await admin('--add', ...rule), /Adding ACLs/)
  const listed = await admin('--list', '--topic', topic)
  assert.match(listed, new RegExp(`principal=${principal}, host=\\*, operation=READ, permissionType=ALLOW`))
  await admin('--remove', '--force', ...rule)
  assert.doesNotMatch(await admin('--list', '--topic', topic), /principal=/)
}

async function logDirs(java: JavaTools): Promise<void> {
  const topic = await java.createTopic(2)
  await java.send(topic, numbered(10))
  const text = await java.server('kafka-log-dirs', ['--describe', '--topic-list', topic])
  const found = JSON.parse(text.slice(text.indexOf('{'))) as { brokers: { logDirs: { partitions: unknown[] }[] }[] }
  assert.equal(found.brokers[0]?.logDirs.flatMap(directory => directory.partitions).length, 2)
}

async function leaderElection(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const words = ['--election-type', 'PREFERRED', '--topic', topic, '--partition', '0']
  assert.match(
    await java.server('kafka-leader-election', words),
    new RegExp(`Valid replica already elected.*${topic}-0`),
  )
}

async function quorum(java: JavaTools): Promise<void> {
  assert.match(await java.server('kafka-metadata-quorum', ['describe', '--status']), /LeaderId:\s+\d/)
  assert.match(await java.server('kafka-metadata-quorum', ['describe', '--replication']), /Leader/)
}

async function features(java: JavaTools): Promise<void> {
  assert.match(await java.server('kafka-features', ['describe']), /Feature: transaction\.version/)
}

async function clientMetrics(java: JavaTools): Promise<void> {
  await java.server('kafka-client-metrics', ['--list'])
}

const lineOf = (text: string): string => text.split('\n').findLast(line => line.includes('records sent')) ?? ''

async function fill(java: JavaTools, count: number, ...properties: string[]): Promise<{ topic: string; said: string }> {
  const topic = await java.createTopic(2)
  const work = ['--topic', topic, '--num-records', String(count), '--record-size', '500', '--throughput', '-1']
  const settings = ['--command-property', `bootstrap.servers=${java.address}`, ...properties]
  return { topic, said: lineOf(await java.run('kafka-producer-perf-test', [...work, ...settings])) }
}

async function producerPerformance(java: JavaTools): Promise<void> {
  const { said } = await fill(java, 50_000, 'acks=all')
  assert.match(said, /records sent/)
  process.stdout.write(`          ${said}\n`)
}

async function transactionalPerformance(java: JavaTools): Promise<void> {
  const topic = await java.createTopic(2)
  const work = ['--topic', topic, '--num-records', '20000', '--record-size', '500', '--throughput', '-1']
  const settings = ['--transaction-duration-ms', '100', '--command-property', `bootstrap.servers=${java.address}`]
  const said = await java.run('kafka-producer-perf-test', [...work, ...settings])
  process.stdout.write(`          ${lineOf(said)}\n`)
  const isolated = ['--isolation-level', 'read_committed']
  assert.equal((await java.read(topic, 20_000, ...isolated)).length, 20_000)
}

async function consumerPerformance(java: JavaTools): Promise<void> {
  const { topic } = await fill(java, 20_000)
  for (const protocol of ['classic', 'consumer']) {
    const file = await java.propertyFile(`group.protocol=${protocol}\nauto.offset.reset=earliest\n`)
    const words = ['--topic', topic, '--num-records', '20000', '--timeout', '30000', '--command-config', file]
    const said = await java.server('kafka-consumer-perf-test', words)
    process.stdout.write(said.replaceAll(/^(?=.)/gm, '          '))
    assert.match(said, /,\s*20\d\d\d,/)
  }
}

async function sharePerformance(java: JavaTools): Promise<void> {
  const { topic } = await fill(java, 20_000)
  const group = fresh('java-share-perf')
  await fromEarliest(java, group)
  const words = ['--topic', topic, '--group', group, '--num-records', '20000', '--timeout', '30000']
  const said = await java.server('kafka-share-consumer-perf-test', words)
  process.stdout.write(said.replaceAll(/^(?=.)/gm, '          '))
  assert.match(said, /,\s*20\d\d\d,/)
}

async function latency(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const words = ['--topic', topic, '--num-records', '500', '--producer-acks', 'all', '--record-size', '100']
  const said = await java.server('kafka-e2e-latency', words)
  process.stdout.write(
    said
      .split('\n')
      .slice(-4)
      .join('\n')
      .replaceAll(/^(?=.)/gm, '          '),
  )
  assert.match(said, /Percentiles/)
}

async function verifiable(java: JavaTools): Promise<void> {
  const topic = await java.createTopic(2)
  const sent = await java.server('kafka-verifiable-producer', [
    '--topic',
    topic,
    '--max-messages',
    '500',
    '--throughput',
    '-1',
  ])
  assert.equal([...sent.matchAll(/"name":"producer_send_success"/g)].length, 500)
  const words = [
    '--topic',
    topic,
    '--group-id',
    fresh('java-verified'),
    '--max-messages',
    '500',
    '--reset-policy',
    'earliest',
  ]
  for (const protocol of ['classic', 'consumer']) {
    const said = await java.server('kafka-verifiable-consumer', [
      ...words,
      '--group-protocol',
      protocol,
      '--group-id',
      fresh('java-verified'),
    ])
    assert.match(said, /"name":"records_consumed","count":\d+/)
    assert.match(said, /"name":"shutdown_complete"/)
  }
}

async function verifiableShare(java: JavaTools): Promise<void> {
  const topic = await java.createTopic()
  const group = fresh('java-share-verified')
  await java.send(topic, numbered(200))
  const words = ['--topic', topic, '--group-id', group, '--max-messages', '200', '--offset-reset-strategy', 'earliest']
  const said = await java.server('kafka-verifiable-share-consumer', [...words, '--acknowledgement-mode', 'sync'])
  const counts = [...said.matchAll(/"name":"offsets_acknowledged","count":(\d+)/g)].map(match => Number(match[1]))
  assert.equal(
    counts.reduce((sum, count) => sum + count, 0),
    200,
  )
}
