import assert from 'node:assert/strict'
import test from 'node:test'
import { listenAt } from './address.ts'
import { optionsMarkdown } from './markdown.ts'
import { environmentOf, flagOf, OptionError, showDuration, showSize } from './option.ts'
import { readEnvironment, readFile, readFlags, readObject, settle } from './read.ts'
import { optionTable, type ListenerInfo } from './table.ts'
import { parseYaml } from './yaml.ts'

const listeners: ListenerInfo[] = [
  { name: 'first', title: 'First Protocol', port: 4001, tlsPort: 4002, advertises: true },
  { name: 'second', title: 'Second Protocol', port: 4002, tlsPort: 4004, advertises: false },
]
const table = optionTable(listeners)

test('every default is a value that its own option takes', () => {
  for (const [name, { kind, default: value }] of table) {
    if (value !== undefined) assert.deepEqual(kind.parse(kind.show(value)), value, name)
  }
})

test('no two options share a flag, and a flag, a variable and a key say the same name', () => {
  assert.equal(new Set([...table.keys()].map(flagOf)).size, table.size)
  assert.equal(flagOf('frameTimeoutMs'), '--frame-timeout')
  assert.equal(environmentOf('frameTimeoutMs'), 'DRAGOMAN_FRAME_TIMEOUT')
})

test('a flag wins over the environment, the environment over the file, the file over the default', () => {
  const file = readFile(table, { data: '/file', durability: 'os', 'topics-max': 7 }, 'x.yaml')
  const environment = readEnvironment(table, { DRAGOMAN_DATA: '/environment', DRAGOMAN_DURABILITY: 'fsync', HOME: '/' })
  const flags = readFlags(table, ['--data', '/flag'])
  const settings = settle(listeners, [flags, environment, file])
  assert.equal(settings.data, '/flag')
  assert.equal(settings.durability, 'fsync')
  assert.equal(settings.topicsMax, 7)
  assert.equal(settings.brokerId, 1)
})

test('readFlags takes --flag value, --flag=value and a switch alone', () => {
  const settings = settle(listeners, [readFlags(table, ['--first=0', '--insecure', '--frame-timeout', '2s'])])
  assert.deepEqual(settings.listeners.get('first'), {
    at: { host: '127.0.0.1', port: 0 },
    asked: true,
    advertised: undefined,
    tls: 'off',
    tlsAdvertised: undefined,
  })
  assert.equal(settings.listeners.get('second')?.asked, false)
  assert.equal(settings.insecure, true)
  assert.equal(settings.frameTimeoutMs, 2000)
})

test('a listener with TLS is off unless it is asked for, and says where clients shall go', () => {
  const flags = readFlags(table, ['--first-tls', '0', '--first-tls-advertised', 'a.example:3'])
  const given = settle(listeners, [flags]).listeners
  assert.deepEqual(given.get('first')?.tls, { host: '127.0.0.1', port: 0 })
  assert.deepEqual(given.get('first')?.tlsAdvertised, { host: 'a.example', port: 3 })
  assert.equal(given.get('second')?.tls, 'off')
  assert.equal(settle(listeners, [flags, readFlags(table, ['--only', 'second'])]).listeners.get('first')?.tls, 'off')
})

test('users are read with all their colons, and what is wrong with them is said without a password', () => {
  const { users } = settle(listeners, [readFlags(table, ['--users', 'ann:a:b,bob:c'])])
  assert.deepEqual(users, [
    { name: 'ann', password: 'a:b' },
    { name: 'bob', password: 'c' },
  ])
  for (const wrong of ['ann', ':secret', 'ann:', 'ann:secret,ann:secret']) {
    assert.throws(
      () => settle(listeners, [readFlags(table, ['--users', wrong])]),
      ({ message }: Error) => message.includes('--users') && !message.includes('secret'),
    )
  }
})

test('only switches all other listeners off', () => {
  const settings = settle(listeners, [readFlags(table, ['--only', 'second'])])
  assert.equal(settings.listeners.get('first')?.at, 'off')
  assert.deepEqual(settings.listeners.get('second')?.at, { host: '127.0.0.1', port: 4002 })
})

const refused: [string, () => unknown, RegExp][] = [
  [
    'an unknown flag',
    () => readFlags(table, ['--durabilty', 'os']),
    /no option --durabilty; did you mean --durability\?/,
  ],
  ['an argument without --', () => readFlags(table, ['memory']), /Unexpected argument "memory"/],
  ['a flag without its value', () => readFlags(table, ['--data']), /--data needs a value: it takes a directory/],
  ['a flag given twice', () => readFlags(table, ['--data', 'a', '--data', 'b']), /--data is given twice/],
  [
    'an unknown variable',
    () => readEnvironment(table, { DRAGOMAN_DATE: 'x' }),
    /DRAGOMAN_DATE; did you mean DRAGOMAN_DATA/,
  ],
  [
    'an unknown key',
    () => readFile(table, { date: 1 }, 'a.yaml'),
    /no option date \(in a\.yaml\); did you mean data\?/,
  ],
  ['a file within a file', () => readFile(table, { config: 'b' }, 'a.yaml'), /cannot name another/],
  ['a file that is no mapping', () => readFile(table, ['data'], 'a.yaml'), /a\.yaml: it takes one "key: value"/],
  ['a nested value', () => readFile(table, { data: { a: 1 } }, 'a.yaml'), /Cannot take object for data \(in a\.yaml\)/],
  ['an empty value', () => readFile(table, { data: null }, 'a.yaml'), /Cannot take nothing for data/],
  ['an unknown property', () => readObject(table, { datum: 1 }), /no option datum/],
  ['an unknown listener', () => settle(listeners, [readFlags(table, ['--only', 'third'])]), /of first, second/],
]
for (const [what, run, message] of refused) {
  test(`${what} is an error that names it`, () =>
    assert.throws(run, error => error instanceof OptionError && message.test(error.message)))
}

const badValues: [string, string][] = [
  ['--durability', 'maybe'],
  ['--broker-id', '-1'],
  ['--broker-id', '1.5'],
  ['--broker-id', '1e3'],
  ['--frame-bytes-max', '1'],
  ['--frame-bytes-max', '10 MiB'],
  ['--frame-bytes-max', '99999999999999999MiB'],
  ['--frame-timeout', '5 parsecs'],
  ['--insecure', 'yes'],
  ['--data', ''],
  ['--first', '65536'],
  ['--first', ':1'],
  ['--first', '1.2.3.4'],
  ['--first-advertised', 'host:0'],
  ['--first-advertised', '9092'],
]
for (const [flag, value] of badValues) {
  test(`${flag} refuses "${value}" and says what it takes`, () => {
    const takes = new RegExp(`Cannot take "${value.replaceAll('.', '\\.')}" for ${flag}: it takes `)
    assert.throws(() => settle(listeners, [readFlags(table, [`${flag}=${value}`])]), takes)
  })
}

test('the environment ignores what Kubernetes sets for a service of our name', () => {
  const service = {
    DRAGOMAN_SERVICE_HOST: '10.0.0.1',
    DRAGOMAN_SERVICE_PORT: '9092',
    DRAGOMAN_PORT: 'tcp://10.0.0.1:9092',
    DRAGOMAN_PORT_9092_TCP_ADDR: '10.0.0.1',
    DRAGOMAN_BROKER: '127.0.0.1:9092',
  }
  assert.equal(readEnvironment(table, service).size, 0)
})

test('listenAt reads ports, hosts and IPv6 hosts', () => {
  assert.deepEqual(listenAt.parse('0'), { host: '127.0.0.1', port: 0 })
  assert.deepEqual(listenAt.parse('0.0.0.0:9092'), { host: '0.0.0.0', port: 9092 })
  assert.deepEqual(listenAt.parse('[::1]:80'), { host: '::1', port: 80 })
  assert.equal(listenAt.parse('off'), 'off')
  assert.equal(listenAt.show({ host: '::1', port: 80 }), '[::1]:80')
})

test('sizes and times are shown with the largest unit that divides them', () => {
  assert.equal(showSize(64 * 2 ** 20), '64MiB')
  assert.equal(showSize(1000), '1000B')
  assert.equal(showDuration(90_000), '90s')
  assert.equal(showDuration(0), '0')
})

test('parseYaml gives plain values, and an error with its place', async () => {
  const content = await parseYaml(
    'data: /var/lib/x\nonly: [first, second]\nfirst: off\nfirst-advertised: a.example:1\n',
    'a.yaml',
  )
  const settings = settle(listeners, [readFile(table, content, 'a.yaml')])
  assert.equal(settings.data, '/var/lib/x')
  assert.deepEqual(settings.only, ['first', 'second'])
  assert.equal(settings.listeners.get('first')?.at, 'off')
  assert.deepEqual(settings.listeners.get('first')?.advertised, { host: 'a.example', port: 1 })
  await assert.rejects(parseYaml('data: [', 'a.yaml'), /^OptionError: a\.yaml: .*line 1/)
  await assert.rejects(parseYaml('a: 1\na: 2', 'a.yaml'), OptionError)
  await assert.rejects(parseYaml('a: &x [1]\nb: *x', 'a.yaml'), OptionError)
  assert.equal(readFile(table, await parseYaml('# nothing\n', 'a.yaml'), 'a.yaml').size, 0)
})

test('the reference page names every option once', () => {
  const page = optionsMarkdown(listeners)
  for (const name of table.keys()) assert.equal(page.split(`| \`${flagOf(name)}\` |`).length, 2, name)
})
