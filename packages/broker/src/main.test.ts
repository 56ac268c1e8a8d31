import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { promisify } from 'node:util'
import { dataFormat } from './data-directory.ts'
import { openBroker, OptionError, startBroker, StartError } from './index.ts'
import { settle } from './options/read.ts'
import { protocols } from './protocols/index.ts'
import { verifyData } from './verify.ts'

async function inDirectory(run: (path: string) => Promise<void>): Promise<void> {
  const path = await mkdtemp(join(tmpdir(), 'dragoman-main-'))
  try {
    await run(path)
  } finally {
    await rm(path, { recursive: true })
  }
}

const quiet = { writeLog: () => {} }

test('startBroker listens only where it was told to, on any free port', async () => {
  const silent = await startBroker({ data: 'memory' })
  assert.equal(silent.listeners.length, 0)
  assert.throws(() => silent.port('kafka'), /listener of kafka is off/)
  await silent.close()
  const broker = await startBroker({ data: 'memory', kafka: 0 })
  assert.ok(broker.port('kafka') > 0)
  assert.deepEqual(broker.core.addresses.get('kafka'), { host: '127.0.0.1', port: broker.port('kafka') })
  await broker.close()
  await broker.close()
})

test('many brokers live in one process, each with its own data', async () => {
  const brokers = await Promise.all([1, 2, 3].map(() => startBroker({ data: 'memory', kafka: 0 })))
  await brokers[0]?.core.topics.create('/', 'only-here')
  assert.equal(new Set(brokers.map(broker => broker.port('kafka'))).size, 3)
  assert.deepEqual(
    brokers.map(broker => broker.core.topics.list().length),
    [1, 0, 0],
  )
  await Promise.all(brokers.map(broker => broker.close()))
})

test('a process that has closed its broker ends by itself', async () => {
  const index = new URL('./index.ts', import.meta.url).href
  const program = `
    const { startBroker } = await import(${JSON.stringify(index)})
    const broker = await startBroker({ data: 'memory', kafka: 0 })
    await broker.close()
    process.stdout.write('closed')`
  const args = ['--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 20_000 })
  assert.equal(stdout, 'closed')
})

test('what a broker knew, the next one on the directory knows, cluster id included', async () => {
  await inDirectory(async path => {
    const first = await startBroker({ data: path })
    await first.core.topics.create('/', 'kept', { partitions: 3 })
    const clusterId = first.core.clusterId
    await first.close()
    const second = await startBroker({ data: path })
    assert.equal(second.core.topics.get('/', 'kept')?.partitions.length, 3)
    assert.deepEqual(second.core.clusterId, clusterId)
    await second.close()
    assert.deepEqual((await verifyData(path)).findings, [])
  })
})

test('a second broker on the directory is refused and told the pid of the first', async () => {
  await inDirectory(async path => {
    const first = await startBroker({ data: path })
    await assert.rejects(
      startBroker({ data: path }),
      error => error instanceof StartError && error.message.includes(String(process.pid)),
    )
    await assert.rejects(verifyData(path), StartError)
    await first.close()
    const second = await startBroker({ data: path })
    await second.close()
  })
})

test('a directory with other files is left alone', async () => {
  await inDirectory(async path => {
    await writeFile(join(path, 'thesis.txt'), 'precious')
    await assert.rejects(startBroker({ data: path }), /it holds other files \("thesis\.txt"\)/)
    assert.deepEqual(await readdir(path), ['thesis.txt'])
    await assert.rejects(verifyData(path), /holds no data of a broker/)
    await assert.rejects(verifyData(join(path, 'absent')), StartError)
  })
})

test('data of a newer release, and a damaged format file, are refused', async () => {
  await inDirectory(async path => {
    await writeFile(join(path, 'format.json'), JSON.stringify({ format: dataFormat + 1 }))
    await assert.rejects(startBroker({ data: path }), /a newer release wrote it \(format \d+; this one knows \d+\)/)
    await writeFile(join(path, 'format.json'), '{"form')
    await assert.rejects(startBroker({ data: path }), /its format\.json is damaged/)
    await rm(join(path, 'format.json'))
    await mkdir(join(path, 'cell'))
    await assert.rejects(startBroker({ data: path }), /a broker's data is there, but its format\.json is missing/)
  })
})

test('a directory whose data is gone is told, at a start and when it is verified, and a new one is not', async () => {
  await inDirectory(async path => {
    const all = ['cell/0/b', 'cell/0/c', 'cell/0/s']
    for (const gone of [[], [], ['cell'], ['cell/0'], all]) {
      const isTold = gone.length > 0
      for (const name of gone) {
        await rm(join(path, name), { recursive: true, force: true })
        await mkdir(join(path, name), { recursive: true })
      }
      if (isTold) assert.match((await verifyData(path)).findings[0]?.what ?? '', /holds no data/)
      let text = ''
      const broker = await startBroker({ data: path }, { writeLog: line => void (text += line) })
      await broker.close()
      assert.equal(text.includes('holds no data'), isTold, text)
    }
  })
})

test('a first start that was cut off is begun again', async () => {
  await inDirectory(async path => {
    await writeFile(join(path, 'format.json.draft'), '{"fo')
    const broker = await startBroker({ data: path })
    await broker.close()
    assert.ok((await readdir(path)).includes('format.json'))
  })
})

test('a port that was asked for and is taken rejects; a default one that is taken costs a warning', async () => {
  const other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as AddressInfo
  await assert.rejects(
    startBroker({ data: 'memory', kafka: port }),
    /Cannot listen on 127\.0\.0\.1:\d+ for kafka: the port is taken/,
  )
  const settings = settle(protocols, [new Map([['data', { text: 'memory', origin: 'data' }]])])
  const present = settings.listeners.get('kafka')
  assert(present !== undefined)
  settings.listeners.clear()
  settings.listeners.set('kafka', { ...present, at: { host: '127.0.0.1', port }, asked: false })
  const lines: string[] = []
  const broker = await openBroker(settings, { writeLog: line => lines.push(line) })
  assert.equal(broker.listeners.length, 0)
  assert.match(
    lines.join(''),
    /warn {2}broker Cannot listen on 127\.0\.0\.1:\d+ for kafka: the port is taken; going on without it/,
  )
  assert.match(lines.join(''), /error broker Nobody can connect: all ports are taken/)
  await broker.close()
  other.close()
})

test('a protocol without login is off where clients must say who they are, unless it is asked for on this machine', async () => {
  const given = new Map([
    ['data', { text: 'memory', origin: 'data' }],
    ['users', { text: 'ann:secret', origin: '--users' }],
  ])
  const settings = settle(protocols, [given])
  const present = settings.listeners.get('beanstalk')
  assert(present !== undefined)
  settings.listeners.clear()
  settings.listeners.set('beanstalk', { ...present, at: { host: '127.0.0.1', port: 0 }, asked: false })
  const lines: string[] = []
  const broker = await openBroker(settings, { writeLog: line => lines.push(line) })
  assert.equal(broker.listeners.length, 0)
  assert.match(lines.join(''), /clients must say who they are/)
  await broker.close()
  const asked = await startBroker({ data: 'memory', users: 'ann:secret', beanstalk: 0 }, quiet)
  assert(asked.port('beanstalk') > 0)
  await asked.close()
  const exposed = { data: 'memory', users: 'ann:secret', beanstalk: '0.0.0.0:0' }
  await assert.rejects(startBroker(exposed, quiet), /its protocol has no login/)
})

test('listening beyond loopback needs insecure, and clients are told an address that they can use', async () => {
  await assert.rejects(startBroker({ data: 'memory', kafka: '0.0.0.0:0' }), /no users are configured/)
  const lines: string[] = []
  const writeLog = (line: string): void => void lines.push(line)
  const open = await startBroker({ data: 'memory', kafka: '0.0.0.0:0', insecure: true }, { writeLog })
  assert.deepEqual(open.core.addresses.get('kafka'), { host: '127.0.0.1', port: open.port('kafka') })
  assert.match(lines.join(''), /--kafka-advertised HOST:PORT/)
  await open.close()
  const told = { data: 'memory', kafka: '0.0.0.0:0', insecure: true, kafkaAdvertised: 'broker.example:19092' }
  const advertised = await startBroker(told, quiet)
  assert.deepEqual(advertised.core.addresses.get('kafka'), { host: 'broker.example', port: 19092 })
  await advertised.close()
})

test('a new certificate is taken while the broker runs, and a bad one is not', async () => {
  const from = new URL('../../../test/support/certificates/', import.meta.url)
  await inDirectory(async path => {
    const put = async (name: string, as: string): Promise<void> => {
      for (const end of ['crt', 'key'])
        await writeFile(join(path, `${as}.${end}`), await readFile(new URL(`${name}.${end}`, from)))
    }
    await put('server', 'used')
    const lines: string[] = []
    const files = { tlsCert: join(path, 'used.crt'), tlsKey: join(path, 'used.key') }
    const surroundings = { writeLog: (line: string) => void lines.push(line) }
    const options = { data: 'memory', kafkaTls: 0, ...files, tlsReloadIntervalMs: '1s', logLevel: 'info' } as const
    const broker = await startBroker(options, surroundings)
    const until = async (pattern: RegExp): Promise<void> => {
      while (!pattern.test(lines.join(''))) await new Promise(resolve => setTimeout(resolve, 20))
    }
    await writeFile(join(path, 'used.crt'), 'no certificate')
    await until(/The new certificate cannot be used/)
    await put('next-server', 'used')
    await until(/New connections get the new certificate/)
    await broker.close()
    await assert.rejects(startBroker({ ...options, tlsKey: join(path, 'absent') }), /Cannot read .* for --tls-key/)
    await assert.rejects(startBroker({ data: 'memory', kafkaTls: 0 }), /without a certificate: give --tls-cert/)
    await assert.rejects(startBroker({ ...options, tlsClientAuth: 'want' }), /give --tls-ca/)
    const mixed = { ...options, tlsKey: new URL('client.key', from).pathname }
    await assert.rejects(startBroker(mixed), /Cannot use the certificate or its key/)
  })
})

test('options that do not exist or cannot be are refused by name', async () => {
  await assert.rejects(startBroker({ data: 'memory', ...{ kafak: 0 } }), /no option kafak; did you mean kafka\?/)
  await assert.rejects(startBroker({ flushBytes: 'much' }), OptionError)
})
