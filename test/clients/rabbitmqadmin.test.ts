import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { startBroker } from '@dragoman/broker'
import { isThere } from '../interop/fetched.ts'

const run = promisify(execFile)
const skip = isThere('rabbitmqadmin', '--version')
  ? false
  : 'no rabbitmqadmin on this machine (apt install rabbitmq-server)'

test('rabbitmqadmin of Debian makes, shows and removes everything', { skip }, async t => {
  const broker = await startBroker({ data: 'memory', management: 0 })
  t.after(() => broker.close())
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const port = String(broker.port('management'))
  const admin = async (...words: string[]): Promise<string> =>
    (await run('rabbitmqadmin', ['-P', port, ...words])).stdout
  const list = async (what: string, ...columns: string[]): Promise<string[]> => {
    const text = await admin('-f', 'tsv', 'list', what, ...columns)
    return text.trim().split('\n').slice(1)
  }

  await admin('declare', 'vhost', 'name=shop')
  await admin('declare', 'user', 'name=ann', 'password=secret', 'tags=management')
  await admin('declare', 'permission', 'vhost=shop', 'user=ann', 'configure=.*', 'write=.*', 'read=.*')
  await admin('declare', 'queue', 'name=orders', 'durable=true', 'arguments={"x-max-length": 5}')
  await admin('declare', 'exchange', 'name=events', 'type=topic')
  await admin('declare', 'binding', 'source=events', 'destination=orders', 'routing_key=new.#')
  await admin('declare', 'policy', 'name=short', 'pattern=^orders', 'definition={"max-length": 3}', 'apply-to=queues')
  await admin('publish', 'exchange=events', 'routing_key=new.shoes', 'payload=a pair')
  assert.deepEqual(await list('queues', 'name', 'messages', 'policy'), ['orders\t1\tshort'])
  assert.deepEqual(await list('vhosts', 'name'), ['/', 'shop'])
  assert.deepEqual(await list('permissions', 'vhost', 'user'), ['/\tguest', 'shop\tann', 'shop\tguest'])
  assert.match(await admin('get', 'queue=orders', 'ackmode=ack_requeue_false'), /new\.shoes +\| events .* a pair/)
  assert.match(await admin('show', 'overview'), /3\.13/)

  const file = join(directory, 'definitions.json')
  await admin('export', file)
  const exported = JSON.parse(readFileSync(file, 'utf8')) as { queues: { name: string }[] }
  assert.deepEqual(
    exported.queues.map(({ name }) => name),
    ['orders'],
  )
  await admin('delete', 'queue', 'name=orders')
  await admin('import', file)
  assert.deepEqual(await list('bindings', 'source', 'destination', 'routing_key'), [
    '\torders\torders',
    'events\torders\tnew.#',
  ])

  await admin(
    'delete',
    'binding',
    'source=events',
    'destination=orders',
    'destination_type=queue',
    'properties_key=new.%23',
  )
  await admin('purge', 'queue', 'name=orders')
  for (const [kind, name] of [
    ['queue', 'orders'],
    ['exchange', 'events'],
    ['policy', 'short'],
    ['vhost', 'shop'],
    ['user', 'ann'],
  ] as const) {
    await admin('delete', kind, `name=${name}`)
  }
  assert.match(await admin('list', 'queues'), /No items/)
  await assert.rejects(admin('delete', 'queue', 'name=orders'), /Not found/)
})
