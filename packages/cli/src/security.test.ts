import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { after, before } from 'node:test'
import { startBroker, type RunningBroker } from '@dragoman/broker'
import { run } from './testing/process.ts'

const certificate = (name: string): string =>
  new URL(`../../../test/support/certificates/${name}`, import.meta.url).pathname

let directory: string
let broker: RunningBroker
let lines = ''

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'dragoman-'))
  const tls = { tlsCert: certificate('server.crt'), tlsKey: certificate('server.key') }
  const usersFile = join(directory, 'users')
  await writeFile(usersFile, '# those who run it\nroot:sesame\n')
  const writeLog = (line: string): void => void (lines += line)
  broker = await startBroker(
    { data: 'memory', kafka: 0, kafkaTls: 0, ...tls, usersFile, logLevel: 'info' },
    { writeLog },
  )
})

after(async () => {
  await broker.close()
  await rm(directory, { recursive: true })
})

/** Runs a command as somebody; resolves with its code and all that it printed. */
async function dragoman(
  user: string | undefined,
  password: string | undefined,
  args: readonly string[],
  input = '',
): Promise<{ code: number | null; text: string }> {
  const { code, out, err } = await run(args, input, {
    DRAGOMAN_BROKER: `127.0.0.1:${broker.port('kafka')}`,
    ...(user === undefined ? {} : { DRAGOMAN_USER: user }),
    ...(password === undefined ? {} : { DRAGOMAN_PASSWORD: password }),
  })
  return { code, text: out + err }
}

const root = (args: readonly string[], input = '') => dragoman('root', 'sesame', args, input)

async function fine(finished: Promise<{ code: number | null; text: string }>): Promise<string> {
  const { code, text } = await finished
  assert.equal(code, 0, text)
  return text
}

test('users are made, listed, given another password, and deleted', async () => {
  assert.equal(await fine(root(['user', 'create', 'ann', '--new-password-file', '-'], 'first\n')), 'ann: created\n')
  const again = await root(['user', 'create', 'ann', '--new-password', 'x'])
  assert.deepEqual([again.code, /is there already/.test(again.text)], [1, true])
  assert.match(await fine(root(['user', 'list'])), /ann +SCRAM-SHA-256, SCRAM-SHA-512\nroot /)
  await fine(root(['user', 'password', 'ann', '--new-password', 'second']))
  const [old, present, plain] = await Promise.all([
    dragoman('ann', 'first', ['topic', 'list']),
    dragoman('ann', 'second', ['topic', 'list']),
    dragoman('ann', 'second', ['topic', 'list', '--mechanism', 'PLAIN']),
  ])
  assert.match(old.text, /the user or the password is wrong/)
  assert.deepEqual([old.code, present.code, plain.code], [1, 0, 0])
  const denied = await dragoman('ann', 'second', ['user', 'create', 'eve', '--new-password', 'x'])
  assert.match(denied.text, /Cluster authorization failed|may not do this to the broker/)
  assert.equal(await fine(root(['user', 'delete', 'ann'])), 'ann: deleted\n')
  assert.match((await root(['user', 'delete', 'ann'])).text, /There is no user "ann"/)
  assert.match((await root(['user', 'delete', 'root'])).text, /set by the configuration/)
})

test('permissions are granted, hold at once, and are taken back', async () => {
  await fine(root(['user', 'create', 'bob', '--new-password', 'b']))
  await fine(root(['topic', 'create', 'orders']))
  const publish = (): Promise<{ code: number | null; text: string }> => dragoman('bob', 'b', ['publish', 'orders', 'x'])
  assert.equal((await publish()).code, 1)
  await fine(root(['permission', 'grant', 'bob', 'produce', '--topic', 'ord', '--prefix']))
  await fine(publish())
  const json = JSON.parse(await fine(root(['permission', 'list', 'bob', '--json']))) as object[]
  assert.deepEqual(json[0], {
    effect: 'allow',
    user: 'bob',
    host: '*',
    operation: 'write',
    kind: 'topic',
    name: 'ord…',
  })
  await fine(root(['permission', 'grant', 'bob', 'write', '--topic', 'orders', '--effect', 'deny']))
  assert.equal((await publish()).code, 1)
  await fine(root(['permission', 'revoke', 'bob', 'write', '--topic', 'orders', '--effect', 'deny']))
  await fine(publish())
  assert.equal((await fine(root(['permission', 'revoke', 'bob', '--all']))).trim().split('\n').length, 3)
  assert.match((await root(['permission', 'revoke', 'bob', '--all'])).text, /There is no such rule/)
  for (const wrong of [['sing', '--topic', 'a'], ['read'], ['consume', '--cluster']]) {
    assert.equal((await root(['permission', 'grant', 'bob', ...wrong])).code, 2)
  }
})

test('commands speak TLS, and say what is wrong with it', async () => {
  const secure = ['topic', 'list', '--broker', `localhost:${broker.port('kafka-tls')}`]
  await fine(root([...secure, '--tls-ca', certificate('authority.crt')]))
  await fine(root([...secure, '--tls-unchecked']))
  assert.match((await root([...secure, '--tls'])).text, /with TLS: .*(self-signed|unable to)/)
  assert.equal((await root([...secure, '--tls-cert', 'x'])).code, 2)
  assert.match((await root(['topic', 'list', '--tls-unchecked'])).text, /with TLS/)
  assert.match((await dragoman(undefined, undefined, ['topic', 'list'])).text, /log in with --user and --password/)
  assert.equal((await dragoman('root', undefined, ['topic', 'list'])).code, 2)
  assert.match(lines, /the peer speaks TLS, but this port does not/)
  assert.equal(/sesame|second|first/.test(lines), false, 'a password is in the log')
})
