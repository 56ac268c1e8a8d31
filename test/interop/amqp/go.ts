import { join } from 'node:path'
import { cacheDirectory, fill, isThere } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import type { Client, Outcome } from '../suite.ts'
import { versions } from '../versions.ts'
import { likeRabbitmq } from './redirect.ts'

/** A module of our own, whose `go.mod` and `go.sum` pin what is fetched. */
const moduleDirectory = join(import.meta.dirname, 'go')
const client = 'github.com/rabbitmq/amqp091-go'
const binaries = cacheDirectory(join('go', `amqp091-go-${versions.amqp091Go}`))
const minute = 60_000

/** They list and close connections by the management API, on its own port. */
const needsManagement = /^TestConnectionRecovery/

export const amqp091Go: Client = {
  name: 'amqp091-go, its own tests',
  pinned: versions.amqp091Go,
  from: 'Go module proxy',
  serve: likeRabbitmq,
  version: () => versions.amqp091Go,
  missing() {
    if (!isThere('go', 'version')) return 'no Go on this machine'
    return fill(binaries, directory => [
      {
        command: 'go',
        args: ['test', '-c', '-tags', 'integration', '-o', join(directory, 'amqp.test'), client],
        cwd: moduleDirectory,
      },
    ])
  },
  async run(place, report) {
    const ended = await runToEnd({
      command: join(binaries, 'amqp.test'),
      args: ['-test.v', `-test.run=${place.only ?? '.'}`, '-test.skip', needsManagement.source, '-test.timeout=5m'],
      cwd: binaries,
      env: { AMQP_URL: `amqp://guest:guest@${place.address}/` },
      timeoutMs: 6 * minute,
    })
    for (const [, word, name = ''] of ended.out.matchAll(/^--- (PASS|FAIL|SKIP): (Test\w+) /gm)) {
      report(`test: ${name}`, outcomeOf(ended.out, word, name))
    }
    if (ended.code !== 0 && !ended.out.includes('--- FAIL')) {
      report('program: it ends by itself', { kind: 'failed', reason: ended.out.slice(-300) + ended.error.slice(-300) })
    }
  },
}

function outcomeOf(text: string, word: string | undefined, name: string): Outcome {
  if (word === 'PASS') return { kind: 'passed' }
  const from = text.indexOf(`=== RUN   ${name}\n`)
  const said = text.slice(from, text.indexOf('=== RUN', from + 8)).replaceAll(/\s+/g, ' ')
  return { kind: word === 'SKIP' ? 'skipped' : 'failed', reason: said.slice(0, 300) }
}
