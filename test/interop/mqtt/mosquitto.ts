import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { isThere } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import { fresh, runChecks, type Check, type Client } from '../suite.ts'
import { versions } from '../versions.ts'

/** The versions of the protocol, as its commands call them. */
const levels = ['mqttv31', 'mqttv311', 'mqttv5']

export const mosquittoTools: Client = {
  name: "Mosquitto's commands (Debian)",
  pinned: versions.mosquittoDebian,
  from: 'Debian 12',
  missing: () => (isThere('which', 'mosquitto_rr') ? undefined : 'not installed (apt install mosquitto-clients)'),
  version: () =>
    /version ([\d.]+)/.exec(spawnSync('mosquitto_pub', ['--help'], { encoding: 'utf8' }).stdout)?.[1] ?? '',
  run({ address }, report) {
    const [, port = ''] = address.split(':')
    return runChecks(
      [...levels.flatMap(level => [pubSub(port, level), comeBack(port, level)]), retained(port), answers(port)],
      report,
    )
  },
}

const run = (command: string, port: string, ...args: string[]): ReturnType<typeof runToEnd> =>
  runToEnd({ command, args: ['-p', port, ...args], timeoutMs: 20_000 })

async function pub(port: string, ...args: string[]): Promise<void> {
  const { code, error } = await run('mosquitto_pub', port, ...args)
  assert.equal(code, 0, error)
}

const pubSub = (port: string, level: string): Check => ({
  capability: `tool: mosquitto_pub and mosquitto_sub, ${level}`,
  async run() {
    const topic = fresh('tools')
    const heard = run(
      'mosquitto_sub',
      port,
      '-V',
      level,
      '-t',
      `${topic}/#`,
      '-q',
      '2',
      '-C',
      '3',
      '-F',
      '%t %q %p',
      '-W',
      '15',
    )
    await new Promise(resolve => setTimeout(resolve, 500))
    for (const qos of ['0', '1', '2']) await pub(port, '-V', level, '-t', `${topic}/x`, '-m', `m${qos}`, '-q', qos)
    assert.deepEqual(
      (await heard).out.trim().split('\n'),
      ['0', '1', '2'].map(qos => `${topic}/x ${qos} m${qos}`),
    )
  },
})

const comeBack = (port: string, level: string): Check => ({
  capability: `tool: mosquitto_sub, a session that is come back to, ${level}`,
  async run() {
    const [topic, id] = [fresh('tools'), fresh('c')]
    const expiry = level === 'mqttv5' ? ['-x', '60'] : []
    const session = ['-V', level, '-c', '-i', id, '-t', topic, '-q', '1', ...expiry]
    assert.equal((await run('mosquitto_sub', port, ...session, '-E')).code, 0)
    for (const text of ['a', 'b']) await pub(port, '-V', level, '-t', topic, '-m', text, '-q', '1')
    const { out } = await run('mosquitto_sub', port, ...session, '-C', '2', '-W', '10')
    assert.deepEqual(out.trim().split('\n'), ['a', 'b'])
  },
})

const retained = (port: string): Check => ({
  capability: 'tool: mosquitto_sub, what is retained',
  async run() {
    const topic = fresh('tools')
    await pub(port, '-t', topic, '-m', 'kept', '-r', '-q', '1')
    const { out } = await run('mosquitto_sub', port, '-t', topic, '-C', '1', '-F', '%r %p', '-W', '10')
    assert.equal(out.trim(), '1 kept')
    const removed = await run('mosquitto_sub', port, '-t', topic, '--remove-retained', '-W', '1')
    assert.equal(removed.out.trim(), 'kept')
    assert.equal((await run('mosquitto_sub', port, '-t', topic, '-W', '1')).out, '')
  },
})

const answers = (port: string): Check => ({
  capability: 'tool: mosquitto_rr',
  async run() {
    const [question, answer] = [fresh('question'), fresh('answer')]
    const asked = run(
      'mosquitto_rr',
      port,
      '-V',
      'mqttv5',
      '-t',
      question,
      '-e',
      answer,
      '-m',
      'why',
      '-q',
      '1',
      '-W',
      '10',
    )
    await new Promise(resolve => setTimeout(resolve, 800))
    await pub(port, '-V', 'mqttv5', '-t', answer, '-m', 'because', '-q', '1')
    assert.equal((await asked).out.trim(), 'because')
  },
})
