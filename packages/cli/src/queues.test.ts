import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { startBroker, type RunningBroker } from '@dragoman/broker'

const main = join(import.meta.dirname, 'dragoman.js')

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

interface Finished {
  code: number | null
  out: string
  err: string
}

/** Runs the command as a process of its own. */
function run(args: readonly string[], input = ''): Promise<Finished> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('DRAGOMAN_'))
  const child = spawn(process.execPath, [main, ...args], { env: { ...Object.fromEntries(inherited), ...environment } })
  const finished: Finished = { code: null, out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => (finished.out += String(chunk)))
  child.stderr.on('data', (chunk: Buffer) => (finished.err += String(chunk)))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  return new Promise(resolve => child.on('close', code => resolve({ ...finished, code })))
}

/** A command that must do what it is asked. */
async function dragoman(...args: string[]): Promise<string> {
  const { code, out, err } = await run(args)
  assert.equal(code, 0, `dragoman ${args.join(' ')}: ${err}`)
  return out
}

async function refused(...args: string[]): Promise<string> {
  const { code, err } = await run(args)
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
  assert.match(await refused('queue', 'describe', 'work'), /Not Found/i)
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

test('errors say what to do', async () => {
  const nobody = ['queue', 'list', '--management', '127.0.0.1:1']
  assert.match(await refused(...nobody), /Cannot reach a broker's management API at 127\.0\.0\.1:1.*--management/)
  assert.match(await refused('queue', 'list', '--namespace', 'nowhere'), /Not Found/i)
})
