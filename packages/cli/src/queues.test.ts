import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import { startBroker, type RunningBroker } from '@dragoman/broker'
import { run, start, succeed } from './testing/process.ts'

let broker: RunningBroker
let environment: Record<string, string>
before(async () => {
  broker = await startBroker({ data: 'memory', amqp: 0, management: 0 })
  environment = {
    DRAGOMAN_MANAGEMENT: `127.0.0.1:${broker.port('management')}`,
    DRAGOMAN_AMQP: `127.0.0.1:${broker.port('amqp')}`,
  }
})
after(() => broker.close())

/** A command that must do what it is asked. */
const dragoman = (...args: string[]): Promise<string> => succeed(args, '', environment)

async function refused(...args: string[]): Promise<string> {
  const { code, err } = await run(args, '', environment)
  assert.notEqual(code, 0, `dragoman ${args.join(' ')}`)
  return err
}

test('queues are declared, listed, described, purged and deleted', async () => {
  assert.equal(
    await dragoman('queue', 'declare', 'work', '--ttl', '1m', '--dead-letter-exchange', '', '--priorities', '9'),
    'work declared\n',
  )
  await dragoman('queue', 'declare', 'events', '--type', 'stream', '--argument', 'x-max-age=7D')
  const listed = await dragoman('queue', 'list')
  assert.match(listed, /^QUEUE +TYPE +READY +HELD/)
  assert.match(listed, /work +classic +0 +0 +0 .*x-message-ttl=60000/)
  assert.match(listed, /events +stream/)
  const [queue] = (
    JSON.parse(await dragoman('queue', 'list', '--json')) as { name: string; arguments: object }[]
  ).filter(({ name }) => name === 'work')
  assert.deepEqual(queue?.arguments, { 'x-message-ttl': 60_000, 'x-dead-letter-exchange': '', 'x-max-priority': 9 })
  assert.match(await dragoman('queue', 'describe', 'work'), /Queue +work\nType +classic\nDurable +yes/)
  assert.match(await refused('queue', 'declare', 'work', '--ttl', '2m'), /x-message-ttl/)
  assert.equal(await dragoman('queue', 'purge', 'work'), 'work purged\n')
  assert.equal(await dragoman('queue', 'delete', 'work', '--if-empty'), 'work deleted\n')
  assert.match(await refused('queue', 'describe', 'work'), /There is no queue "work" in the namespace "\/"/)
})

test('exchanges and bindings', async () => {
  await dragoman('queue', 'declare', 'orders')
  assert.equal(await dragoman('exchange', 'declare', 'shop', '--type', 'topic'), 'shop declared\n')
  assert.match(await dragoman('exchange', 'list'), /shop +topic +yes/)
  await dragoman('binding', 'declare', 'shop', 'orders', '--key', 'order.*')
  await dragoman('binding', 'declare', 'shop', 'orders', '--key', 'b', '--argument', 'x=1')
  assert.match(await dragoman('binding', 'list', '--queue', 'orders'), /shop +orders +queue +order\.\*/)
  assert.match(await dragoman('exchange', 'describe', 'shop'), /orders +queue +order\.\*/)
  await dragoman('binding', 'delete', 'shop', 'orders', '--key', 'order.*')
  assert.match(await refused('binding', 'delete', 'shop', 'orders', '--key', 'order.*'), /No such binding/)
  assert.doesNotMatch(await dragoman('binding', 'list'), /order\.\*/)
  assert.match(await refused('exchange', 'delete', 'shop', '--if-unused'), /in use/i)
  assert.equal(await dragoman('exchange', 'delete', 'shop'), 'shop deleted\n')
})

test('policies', async () => {
  await dragoman('queue', 'declare', 'log.a')
  const words = ['policy', 'declare', 'brief', '--pattern', '^log', '--argument', 'message-ttl=60000']
  assert.equal(await dragoman(...words), 'brief declared\n')
  assert.match(await dragoman('policy', 'list'), /brief +\^log +queues +0 +message-ttl=60000/)
  assert.match(await dragoman('queue', 'describe', 'log.a'), /Policy +brief/)
  assert.match(await refused('policy', 'declare', 'bad', '--pattern', '(', '--argument', 'max-length=1'), /./)
  assert.match(await refused('policy', 'declare', 'none', '--pattern', '.'), /sets something/)
  assert.equal(await dragoman('policy', 'delete', 'brief'), 'brief deleted\n')
})

test('feeds', async () => {
  await broker.core.topics.create('/', 'commands', { partitions: 1 })
  const set = (exchange: string, topic = 'commands'): string[] => {
    return ['feed', 'set', 'down', '--topic', topic, '--exchange', exchange]
  }
  assert.equal(await dragoman(...set('amq.direct')), 'down set\n')
  assert.equal(await dragoman(...set('amq.topic')), 'down set\n')
  assert.match(await dragoman('feed', 'list'), /^FEED +TOPIC +EXCHANGE\ndown +commands +amq\.topic\n$/)
  assert.deepEqual(JSON.parse(await dragoman('feed', 'list', '--json')), [
    { name: 'down', topic: 'commands', exchange: 'amq.topic' },
  ])
  assert.match(await refused(...set('amq.topic', 'other')), /one of the topic "commands"/)
  assert.match(await refused('feed', 'set', 'up', '--topic', 'commands'), /--exchange/)
  assert.match(await refused('feed', 'list', '--namespace', 'nowhere'), /There is no namespace "nowhere"/)
  assert.match(await refused('feed', 'delete', 'up'), /There is no feed "up" in the namespace "\/"/)
  assert.equal(await dragoman('feed', 'delete', 'down'), 'down deleted\n')
  assert.equal(await dragoman('feed', 'list'), '')
})

test('errors say what to do', async () => {
  const nobody = ['queue', 'list', '--management', '127.0.0.1:1']
  assert.match(await refused(...nobody), /Cannot reach a broker's management API at 127\.0\.0\.1:1.*--management/)
  assert.match(await refused('queue', 'list', '--namespace', 'nowhere'), /There is no namespace "nowhere"/)
})

test('messages are published to queues and exchanges, and taken from queues', async () => {
  await dragoman('queue', 'declare', 'jobs', '--priorities', '9')
  await dragoman('exchange', 'declare', 'in', '--type', 'topic')
  await dragoman('binding', 'declare', 'in', 'jobs', '--key', 'job.*')
  await dragoman('publish', '--queue', 'jobs', '--header', 'a=1', 'one', 'two')
  await dragoman('publish', '--exchange', 'in', '--routing-key', 'job.x', '--priority', '5', '--quiet', 'urgent')
  assert.match(await refused('publish', '--exchange', 'in', '--routing-key', 'other', 'x'), /Nothing takes messages/)
  assert.match(await refused('publish', '--queue', 'nobody', 'x'), /There is no queue "nobody".* \(0 messages were/)
  assert.match(await refused('publish', '--queue', 'jobs', '--key', 'k', 'x'), /are for topics/)
  const looked = (await dragoman('consume', '--queue', 'jobs', '--ack', 'requeue', '--format', 'json'))
    .trim()
    .split('\n')
  const messages = looked.map(line => JSON.parse(line) as { value: string; key: string; headers: object })
  assert.deepEqual(
    messages.map(({ value, key, headers }) => [value, key, headers]),
    [
      ['urgent', 'job.x', {}],
      ['one', 'jobs', { a: '1' }],
      ['two', 'jobs', { a: '1' }],
    ],
  )
  assert.equal(await dragoman('consume', '--queue', 'jobs', '--max', '1'), 'urgent\n')
  assert.equal(await dragoman('consume', '--queue', 'jobs'), 'one\ntwo\n')
  assert.equal(await dragoman('consume', '--queue', 'jobs', '--ack', 'none'), '')
  assert.match(await refused('consume', '--queue', 'nobody'), /NOT_FOUND - no queue 'nobody'/)
  assert.match(await refused('consume', 'topic', '--queue', 'jobs'), /either/)
  assert.match(await refused('consume', '--queue', 'jobs', '--group', 'g'), /are for topics/)
  assert.match(await refused('consume', '--queue', 'jobs', '--from', 'end'), /are for topics/)
  assert.match(await refused('consume', 'topic', '--ack', 'none'), /--ack is for queues/)
  assert.match(await refused('publish', 'topic', '--delay', '1h', 'x'), /are for queues and exchanges/)
  assert.match(await refused('publish', 'topic', '--routing-key', 'k', 'x'), /give --queue or --exchange/)
})

test('what is refused while further lines are waited for ends with a word', async () => {
  const { child, done } = start(['publish', '--queue', 'nobody'], environment)
  child.stdin?.on('error', () => {})
  child.stdin?.write('first\n')
  // Long enough for its refusal to be there.
  await dragoman('queue', 'list')
  await dragoman('queue', 'list')
  child.stdin?.end('second\n')
  const { code, err } = await done
  assert.equal(code, 1)
  assert.match(err, /^dragoman: There is no queue "nobody"/)
})

test('dead letters are listed, looked at and brought back; messages move', async () => {
  const to = ['--dead-letter-exchange', '', '--dead-letter-key', 'failed']
  await dragoman('queue', 'declare', 'failed')
  await dragoman('queue', 'declare', 'source', ...to)
  await dragoman('publish', '--queue', 'source', 'a', 'b', 'c')
  assert.equal(await dragoman('consume', '--queue', 'source', '--ack', 'reject'), 'a\nb\nc\n')
  while (!/failed +3 +source/.test(await dragoman('dlq', 'list')));
  assert.match(await dragoman('dlq', 'browse', 'failed'), /source +rejected +1 +a\n/)
  assert.match(await dragoman('queue', 'browse', 'failed', '--reason', 'expired'), /No messages/)
  assert.match(await dragoman('dlq', 'redrive', 'failed', '--max', '2'), /^2 messages moved, 0 passed over/)
  assert.equal(await dragoman('consume', '--queue', 'source'), 'a\nb\n')
  assert.match(await dragoman('queue', 'move', 'failed', 'source'), /^1 message moved/)
  assert.equal(await dragoman('consume', '--queue', 'source'), 'c\n')
  assert.match(await refused('queue', 'move', 'failed', 'nowhere'), /nowhere/)
})

test('a move that has to wait is stopped by a signal, and tells how far it came', async () => {
  await dragoman('queue', 'declare', 'wide')
  await dragoman(
    'queue',
    'declare',
    'narrow',
    '--argument',
    'x-max-length=1',
    '--argument',
    'x-overflow=reject-publish',
  )
  await dragoman('publish', '--queue', 'wide', '--quiet', 'a', 'b', 'c')
  const { child, done } = start(['queue', 'move', 'wide', 'narrow'], environment)
  while (!/Ready +1/.test(await dragoman('queue', 'describe', 'narrow')));
  child.kill('SIGINT')
  const { code, out, err } = await done
  assert.deepEqual([code, err], [0, ''])
  assert.match(out, /^1 message moved, \d passed over \(cancelled\)\n$/)
  assert.match(await dragoman('queue', 'describe', 'wide'), /Ready +2/)
})

test('delayed messages are listed and cancelled; schedules publish', async () => {
  await dragoman('queue', 'declare', 'later')
  await dragoman('publish', '--queue', 'later', '--delay', '1h', 'x', 'y')
  const [first, second] = JSON.parse(await dragoman('delayed', 'list', '--key', 'later', '--json')) as { id: string }[]
  assert(first && second)
  assert.match(await dragoman('delayed', 'describe', first.id), /Key +later/)
  assert.match(await refused('delayed', 'cancel', first.id, '--key', 'later'), /go with --all/)
  assert.equal(await dragoman('delayed', 'cancel', first.id), `${first.id} cancelled\n`)
  assert.equal(await dragoman('delayed', 'cancel', '--all', '--key', 'later'), '1 message cancelled\n')
  assert.equal(await dragoman('delayed', 'list'), '')
  await dragoman('publish', '--queue', 'later', '--delay', '1ms', 'soon')
  while ((await dragoman('consume', '--queue', 'later')) !== 'soon\n');
  await dragoman('schedule', 'declare', 'nightly', 'run', '--cron', '0 3 * * *', '--queue', 'later')
  assert.match(await dragoman('schedule', 'list'), /nightly +0 3 \* \* \* +UTC +\d{4}-/)
  assert.equal(await dragoman('schedule', 'run', 'nightly'), 'nightly published\n')
  assert.equal(await dragoman('consume', '--queue', 'later'), 'run\n')
  assert.equal(await dragoman('schedule', 'delete', 'nightly'), 'nightly deleted\n')
  assert.match(await refused('schedule', 'declare', 'bad', 'x', '--cron', 'never', '--queue', 'later'), /./)
})

test('who publishes while the broker is low on disk is told so, and waits', async () => {
  await dragoman('queue', 'declare', 'patient')
  const { cell } = broker.core
  let isFull = true
  Object.defineProperty(cell, 'isFull', { get: () => isFull, configurable: true })
  const { child, done } = start(['publish', '--queue', 'patient', 'at last'], environment)
  let told = ''
  child.stderr?.on('data', (chunk: Buffer) => (told += String(chunk)))
  while (!told.includes('no messages for now (low on disk)') && child.exitCode === null)
    await new Promise(resolve => setTimeout(resolve, 20))
  isFull = false
  assert.match((await done).err, /takes messages again[^]*Published 1 message/)
  Reflect.deleteProperty(cell, 'isFull')
})
