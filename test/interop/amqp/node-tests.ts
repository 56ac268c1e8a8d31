import { cpSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../../support/dragoman.ts'
import { cacheDirectory, clone, fill, nodeFirst, type Step } from '../fetched.ts'
import { runProgram, runToEnd } from '../program.ts'
import type { Client, Outcome, Report } from '../suite.ts'
import { versions } from '../versions.ts'
import { likeRabbitmq, missingRedirect, redirected } from './redirect.ts'

const minute = 60_000
const reporter = join(import.meta.dirname, '..', 'node-reporter.js')
/**
 * A file is run as a program. What is left open when all its tests have ended is not waited for. With `--test` it would be a process of a process, and lose
 * results then that are on their way out.
 */
const ofOneFile = ['--test-force-exit', `--test-reporter=${reporter}`]

const npm = (...args: string[]): Step => ({
  command: 'npm',
  args: [...args, '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
  env: nodeFirst(),
})

const amqplibDirectory = cacheDirectory(join('amqp', `amqplib-${versions.amqplibTests}`))

export const amqplibTests: Client = {
  name: 'amqplib, its own tests',
  pinned: versions.amqplibTests,
  from: 'npm; its tests from GitHub',
  serve: likeRabbitmq,
  // One of them looks for it at `::1`.
  host: '[::]',
  version: () => versions.amqplibTests,
  missing: () => missingRedirect() ?? fillAmqplib(),
  async run(place, report) {
    const files = readdirSync(join(amqplibDirectory, 'test')).filter(file => file.endsWith('.test.js'))
    const words = ['--test-timeout=20000', ...ofOneFile]
    for (const file of files) {
      const args = [...words, ...patternOf(place.only), join('test', file)]
      await runNodeTests(amqplibDirectory, args, redirected(place), report)
    }
  },
}

/** The sources make the tables of the protocol when they are published: they come from the package of npm. */
function fillAmqplib(): string | undefined {
  const reason = fill(amqplibDirectory, () => [
    clone('amqp-node/amqplib', `v${versions.amqplibTests}`),
    npm('install', '--no-save', 'claire@0.4.1'),
  ])
  if (reason !== undefined) return reason
  const tables = join(amqplibDirectory, 'lib', 'defs.js')
  cpSync(join(repository, 'node_modules', 'amqplib', 'lib', 'defs.js'), tables)
  return undefined
}

const rabbitmqClientDirectory = cacheDirectory(join('amqp', `rabbitmq-client-${versions.rabbitmqClient}`))

export const rabbitmqClientTests: Client = {
  name: 'rabbitmq-client, its own tests',
  pinned: versions.rabbitmqClient,
  from: 'GitHub',
  serve: likeRabbitmq,
  version: () => versions.rabbitmqClient,
  missing: () =>
    fill(rabbitmqClientDirectory, () => [
      clone('cody-greene/node-rabbitmq-client', `v${versions.rabbitmqClient}`),
      npm('ci'),
    ]),
  async run(place, report) {
    const tests = join(rabbitmqClientDirectory, 'test')
    const words = ['-r', 'ts-node/register', ...ofOneFile]
    const env = { RABBITMQ_URL: `amqp://guest:guest@${place.address}` }
    for (const file of readdirSync(tests).filter(name => name !== 'util.ts')) {
      const args = [...words, ...patternOf(place.only), join('test', file)]
      await runNodeTests(rabbitmqClientDirectory, args, env, report)
    }
  },
}

function patternOf(only: string | undefined): string[] {
  return only === undefined ? [] : [`--test-name-pattern=${only.replaceAll(/[^\w ]/g, '.')}`]
}

/** A file of tests whose failure its tests have told does not fail once more. */
async function runNodeTests(cwd: string, args: string[], env: Record<string, string>, report: Report): Promise<void> {
  let failures = 0
  const program = { command: process.execPath, args, cwd, env, timeoutMs: 5 * minute }
  await runProgram(program, (name, outcome) => {
    if (name.startsWith('program:') && failures > 0) return
    // A file that ends badly is a test of its own.
    if (outcome.kind === 'failed') failures++
    report(name, outcome)
  })
}

const cloudamqpDirectory = cacheDirectory(join('amqp', `cloudamqp-${versions.cloudamqp}`))

interface VitestReport {
  testResults: {
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[]
  }[]
}

export const cloudamqpTests: Client = {
  name: '@cloudamqp/amqp-client, its own tests',
  pinned: versions.cloudamqp,
  from: 'GitHub',
  serve: likeRabbitmq,
  version: () => versions.cloudamqp,
  missing: () =>
    missingRedirect() ??
    fill(cloudamqpDirectory, () => [clone('cloudamqp/amqp-client.js', `v${versions.cloudamqp}`), npm('ci')]),
  async run(place, report) {
    const vitest = join(cloudamqpDirectory, 'node_modules', 'vitest', 'vitest.mjs')
    const files = readdirSync(join(cloudamqpDirectory, 'test')).filter(name => !/^(tls|type-safety)/.test(name))
    const only = place.only === undefined ? [] : ['-t', place.only]
    const words = ['run', ...files.map(file => join('test', file)), '--reporter=json', '--no-coverage', ...only]
    const ended = await runToEnd({
      command: process.execPath,
      args: [vitest, ...words],
      cwd: cloudamqpDirectory,
      env: redirected(place),
      timeoutMs: 10 * minute,
    })
    const text = ended.out.slice(ended.out.indexOf('{"num'))
    const { testResults } = JSON.parse(text) as VitestReport
    for (const { fullName, status, failureMessages } of testResults.flatMap(file => file.assertionResults)) {
      if (status === 'skipped' && place.only !== undefined) continue
      report(`test: ${fullName.trim()}`, outcomeOf(status, failureMessages))
    }
  },
}

function outcomeOf(status: string, messages: string[]): Outcome {
  if (status === 'passed') return { kind: 'passed' }
  if (status === 'failed') return { kind: 'failed', reason: (messages[0] ?? '').split('\n')[0] ?? '' }
  return { kind: 'skipped', reason: 'its makers have left it out' }
}
