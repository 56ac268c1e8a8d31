import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { startBroker, type RunningBroker } from '@dragoman/broker'
import { run, start, succeed } from './testing/process.ts'

/** Waits until the process has printed something that matches. */
function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let out = ''
    child.stdout?.on('data', (chunk: Buffer) => {
      out += String(chunk)
      if (pattern.test(out)) resolve(out)
    })
    child.on('close', () => reject(new Error(`ended before it printed ${pattern}: ${out}`)))
  })
}

let broker: RunningBroker
let environment: Record<string, string>
before(async () => {
  broker = await startBroker({ data: 'memory', kafka: 0 })
  environment = { DRAGOMAN_BROKER: `127.0.0.1:${broker.port('kafka')}` }
})
after(() => broker.close())

/** Runs a command against the broker; it must do what it is asked. */
const dragoman = (args: readonly string[], input = ''): Promise<string> => succeed(args, input, environment)

test('publish and consume: lines, keys, JSON, positions and formats', async () => {
  assert.equal(await dragoman(['topic', 'create', 'orders', '--partitions', '2']), 'orders created with 2 partitions\n')
  await dragoman(['publish', 'orders', '--key-separator', ':', '--header', 'from=test'], 'k1:a\nk2:b\nk1:c\n')
  await dragoman(['publish', 'orders', '--partition', '1', 'x', 'y'])
  const json = (await dragoman(['consume', 'orders', '--format', 'json'])).trim().split('\n')
  const records = json.map(line => JSON.parse(line) as { key: string; value: string; headers?: object })
  assert.deepEqual(records.map(({ value }) => value).sort(), ['a', 'b', 'c', 'x', 'y'])
  assert.deepEqual(
    records.filter(({ key }) => key === 'k1').map(({ value, headers }) => [value, headers]),
    [
      ['a', { from: 'test' }],
      ['c', { from: 'test' }],
    ],
  )
  assert.equal(await dragoman(['consume', 'orders', '--partition', '1', '--from', 'last:1']), 'y\n')
  assert.match(
    await dragoman(['consume', 'orders', '--max', '1', '--partition', '1', '--from', 'last:2', '--format', 'hex']),
    /^orders\/1 \d+ - 78\n$/,
  )
  await dragoman(['topic', 'create', 'copy', '--partitions', '2'])
  await dragoman(['publish', 'copy', '--json'], `${json.join('\n')}\n`)
  const copied = await dragoman(['consume', 'copy', '--format', 'json'])
  assert.deepEqual(copied.replaceAll('"copy"', '"orders"').trim().split('\n').sort(), json.sort())
})

test('many lines become many batches, and come back unchanged and in order', async () => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `${index} ${'x'.repeat(index % 200)}`)
  const input = `${lines.join('\n')}\n${'long'.repeat(200_000)}\nlast\n`
  await dragoman(['publish', 'many'], input)
  assert.equal(await dragoman(['consume', 'many']), input)
})

test('a group remembers what was printed, and reset moves it after a plan', async () => {
  await dragoman(['publish', 'jobs', 'a', 'b', 'c'])
  assert.equal(await dragoman(['consume', 'jobs', '--group', 'workers', '--max', '2']), 'a\nb\n')
  assert.equal(await dragoman(['consume', 'jobs', '--group', 'workers']), 'c\n')
  assert.match(await dragoman(['group', 'list']), /^workers +Empty +consumer +classic$/m)
  assert.match(await dragoman(['group', 'describe', 'workers']), /^jobs +0 +3 +3 +0$/m)
  const reset = ['group', 'reset', 'workers', '--topic', 'jobs:0', '--to', '1']
  assert.match(await dragoman(reset), /^jobs +0 +3 +1$[^]*Nothing was changed/m)
  await dragoman([...reset, '--execute'])
  assert.equal(await dragoman(['consume', 'jobs', '--group', 'workers']), 'b\nc\n')
  assert.equal(await dragoman(['group', 'delete', 'workers']), 'workers deleted\n')
  assert.equal(await dragoman(['group', 'list']), '')
})

test('a share group gives each message once, and is described, moved and deleted', async () => {
  await dragoman(['publish', 'parcels', 'before'])
  assert.equal(await dragoman(['consume', 'parcels', '--share-group', 'packers']), '')
  await dragoman(['publish', 'parcels', 'a', 'b', 'c'])
  assert.equal(await dragoman(['consume', 'parcels', '--share-group', 'packers', '--max', '2']), 'a\nb\n')
  assert.match(await dragoman(['group', 'list']), /^packers +Empty +share +share$/m)
  const described = await dragoman(['group', 'describe', 'packers'])
  assert.match(described, /^packers {2}Empty, share group, simple$/m)
  assert.match(described, /^parcels +0 +3 +1$/m)
  assert.equal(await dragoman(['consume', 'parcels', '--share-group', 'packers']), 'c\n')
  const reset = ['group', 'reset', 'packers', '--all-topics', '--to', 'beginning']
  assert.match(await dragoman(reset), /^parcels +0 +4 +0$[^]*Nothing was changed/m)
  await dragoman([...reset, '--execute'])
  assert.equal(await dragoman(['consume', 'parcels', '--share-group', 'packers']), 'before\na\nb\nc\n')
  assert.equal(await dragoman(['group', 'delete', 'packers']), 'packers deleted\n')
})

test('topic: list, describe, alter, delete', async () => {
  await dragoman(['topic', 'create', 'settings', '--config', 'retention.ms=5000'])
  assert.match(await dragoman(['topic', 'list']), /^settings +1$/m)
  await dragoman([
    'topic',
    'alter',
    'settings',
    '--partitions',
    '3',
    '--set',
    'retention.bytes=1000',
    '--unset',
    'retention.ms',
  ])
  const described = JSON.parse(await dragoman(['topic', 'describe', 'settings', '--json'])) as {
    partitions: []
    settings: []
  }[]
  assert.equal(described[0]?.partitions.length, 3)
  assert.deepEqual(described[0]?.settings, [{ name: 'retention.bytes', value: '1000', set: true }])
  await dragoman(['topic', 'create', 'settings', '--if-not-exists'])
  assert.equal(await dragoman(['topic', 'delete', 'settings']), 'settings deleted\n')
  const gone = await run(['topic', 'describe', 'settings'], '', environment)
  assert.equal(gone.code, 1)
  assert.match(gone.err, /^dragoman: Cannot find topic "settings"/)
})

test('quota: set, list, remove', async () => {
  assert.equal(
    await dragoman(['quota', 'set', '--for-user', 'ann', '--for-client', '*', 'publish=1MiB', 'changes=0.5']),
    'user ann, client *: publish=1MiB changes=0.5\n',
  )
  await dragoman(['quota', 'set', '--for-address', '10.0.0.7', 'connections=20'])
  const listed = await dragoman(['quota', 'list'])
  assert.match(listed, /^address 10\.0\.0\.7 +connections=20$/m)
  assert.match(listed, /^user ann, client \* +changes=0\.5 publish=1MiB$/m)
  const json = JSON.parse(await dragoman(['quota', 'list', '--json'])) as object[]
  assert.deepEqual(json[1], { for: 'user ann, client *', publish: 1_048_576, changes: 0.5 })
  await dragoman(['quota', 'remove', '--for-user', 'ann', '--for-client', '*', 'publish'])
  assert.match(await dragoman(['quota', 'list']), /^user ann, client \* +changes=0\.5$/m)
  await dragoman(['quota', 'remove', '--for-user', 'ann', '--for-client', '*'])
  await dragoman(['quota', 'remove', '--for-address', '10.0.0.7'])
  assert.equal(await dragoman(['quota', 'list']), '')
  assert.equal((await run(['quota', 'set', 'publish=1'], '', environment)).code, 2)
  assert.equal((await run(['quota', 'set', '--for-user', 'ann', 'speed=1'], '', environment)).code, 2)
  const wrong = await run(['quota', 'set', '--for-user', 'ann', 'connections=1'], '', environment)
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /addresses only/)
})

test('consume --follow waits for what comes, and ends at a signal', async () => {
  await dragoman(['topic', 'create', 'live'])
  const { child, done } = start(['consume', 'live', '--follow'], environment)
  const seen = printed(child, /later\n/)
  await dragoman(['publish', 'live', 'later'])
  await seen
  child.kill('SIGINT')
  assert.deepEqual(await done, { code: 0, out: 'later\n', err: '' })
})

test('what cannot be done has exit code 1, a wrong command line 2, and both say why', async () => {
  const cases: [string[], number, RegExp][] = [
    [['consume', 'no-such-topic'], 1, /Cannot find topic "no-such-topic": The topic or partition does not exist/],
    [['publish', 'orders', '--partition', '77', 'x'], 1, /has no partition 77: it has 2 \(0 messages were published\)/],
    [['topic', 'list', '--broker', '127.0.0.1:1'], 1, /Cannot reach a broker at 127\.0\.0\.1:1/],
    [['group', 'describe', 'nobody'], 1, /nobody/],
    [['frobnicate'], 2, /There is no command "frobnicate"/],
    [['topic', 'crate', 'x'], 2, /dragoman topic takes one of create, list, describe, alter, delete, not "crate"/],
    [['consume', 'orders', '--form', 'json'], 2, /no option --form; did you mean --from\?/],
    [['decode', 'kafka', 'zz'], 2, /Cannot take "z" for a hexadecimal digit/],
    [['decode', 'kafka', '00000001ff'], 1, /Cannot take/],
    [['serve', '--durability', 'maybe'], 2, /Cannot take "maybe" for --durability: it takes fsync or os/],
    [['verify', '/no/such/directory'], 1, /Cannot read \/no\/such\/directory/],
  ]
  const results = await Promise.all(cases.map(([args]) => run(args, '', environment)))
  for (const [index, [args, code, message]] of cases.entries()) {
    assert.equal(results[index]?.code, code, args.join(' '))
    assert.match(results[index]?.err ?? '', message)
    assert.doesNotMatch(results[index]?.err ?? '', /\n {4}at /, 'a stack trace is no explanation')
  }
})

test(
  'a command ends at once when it is not let in, or when something else listens there',
  { timeout: 60_000 },
  async () => {
    const stranger = createServer(socket => socket.end('AMQP\0\0\x09\x01'))
    await new Promise<void>(resolve => stranger.listen(0, '127.0.0.1', resolve))
    const { port } = stranger.address() as AddressInfo
    const other = await run(['topic', 'list', '--broker', `127.0.0.1:${port}`], '', environment)
    assert.equal(other.code, 1)
    assert.match(other.err, /What listens at 127\.0\.0\.1:\d+ does not speak Kafka's protocol/)
    stranger.close()
    const refused = await run(['topic', 'list', '--user', 'ann', '--password', 'x'], '', environment)
    assert.equal(refused.code, 1)
    assert.match(refused.err, /lets nobody in like this/)
  },
)

test('publish ends when the topic cannot be used', async () => {
  const { code, err } = await run(['publish', 'bad name', 'x'], '', environment)
  assert.equal(code, 1)
  assert.match(err, /Cannot use topic "bad name"/)
})

test('decode, help, version and completion print', async () => {
  const request = '00000016' + '0012' + '0000' + '00000001' + '000c' + Buffer.from('librdkafka12').toString('hex')
  assert.match(await dragoman(['decode', 'kafka', request]), /ApiVersionsRequest version 0, correlation id 1/)
  assert.match(await dragoman(['decode', 'kafka'], request), /ApiVersionsRequest/)
  assert.match(await dragoman(['help', 'topic', 'create']), /Usage: dragoman topic create TOPIC\.\.\. \[OPTION\.\.\.\]/)
  assert.match(await dragoman(['serve', '--help']), /--kafka \[HOST:\]PORT\|off {2}\(127\.0\.0\.1:9092\)/)
  assert.match(await dragoman(['--version']), /^dragoman \d/)
  for (const shell of ['bash', 'zsh', 'fish']) assert.match(await dragoman(['completion', shell]), /group/)
})

test('serve prints its listeners and ready, keeps its data over a restart, and refuses a second one', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'dragoman-cli-'))
  const data = join(directory, 'data')
  const config = join(directory, 'dragoman.yaml')
  await writeFile(config, 'durability: os\nkafka: 0\nlog-level: warn\n')
  const serve = ['serve', '--data', data, '--config', config, '--only', 'kafka']
  const first = start(serve)
  const out = await printed(first.child, /^ready .*\n/m)
  assert.match(out, /^kafka {6}127\.0\.0\.1:\d+\nready .*durability os .*started in \d+ ms\n$/)
  const at = { DRAGOMAN_BROKER: /127\.0\.0\.1:\d+/.exec(out)?.[0] ?? '' }
  assert.equal((await run(['publish', 'kept', 'message'], '', at)).code, 0)
  const second = await run(serve)
  assert.equal(second.code, 1)
  assert.ok(second.err.includes(String(first.child.pid)), second.err)
  // It drains, and goes on.
  first.child.kill('SIGUSR1')
  while (
    !(await new Promise<string>(resolve => first.child.stderr?.once('data', chunk => resolve(String(chunk))))).includes(
      'no jobs',
    )
  );
  first.child.kill('SIGTERM')
  assert.equal((await first.done).code, 0)
  assert.match((await run(['verify', data])).out, /1 records[^]* is sound\n$/)
  const again = start(serve)
  const where = /127\.0\.0\.1:\d+/.exec(await printed(again.child, /^ready /m))?.[0] ?? ''
  assert.equal((await run(['consume', 'kept', '--broker', where])).out, 'message\n')
  again.child.kill('SIGINT')
  assert.equal((await again.done).code, 0)
  assert.match(await readFile(join(data, 'format.json'), 'utf8'), /^\{"format":\d+\}\n$/)
  await rm(directory, { recursive: true })
})

test('serve exits with 1 when a port that was asked for is taken', async () => {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  const { code, out, err } = await run(['serve', '--data', 'memory', '--kafka', String(port)])
  assert.deepEqual([code, out], [1, ''])
  assert.match(err, /Cannot listen on 127\.0\.0\.1:\d+ for kafka: the port is taken/)
  other.close()
})
