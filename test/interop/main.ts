import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { kafka } from '../../bench/peers/kafka.ts'
import { startDragoman } from '../support/dragoman.ts'
import { kafkaClients } from './kafka/clients.ts'
import { capabilities, type Capability, type Client, type Outcome } from './suite.ts'

const suites: Record<string, Client[]> = { kafka: kafkaClients }

const usage = `usage: npm run interop -- PROTOCOL [--client NAME] [--broker HOST:PORT | --peer kafka]
PROTOCOL: ${Object.keys(suites).join(', ')}. Runs real clients against a broker of its own, in a process and a directory
of its own; --broker takes one that runs, --peer checks the checks against Apache Kafka itself.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { client: { type: 'string' }, broker: { type: 'string' }, peer: { type: 'string' } },
})
const suite = suites[positionals[0] ?? '']
if (suite === undefined) {
  process.stderr.write(usage)
  process.exit(2)
}
const clients = suite.filter(client => values.client === undefined || client.name === values.client)

const directory = mkdtempSync(join(tmpdir(), 'dragoman-interop-'))
const started = values.broker === undefined ? await start(values.peer) : undefined
const address = values.broker ?? started?.address ?? ''

const outcomes = new Map<string, Map<Capability, Outcome>>()
const skipped: string[] = []
for (const client of clients) {
  const missing = client.missing()
  if (missing !== undefined) {
    skipped.push(`${client.name}: ${missing}`)
    continue
  }
  const version = client.version()
  const name =
    version === client.pinned
      ? `${client.name} ${version}`
      : `${client.name} ${version} (checks were written for ${client.pinned})`
  const seen = new Map<Capability, Outcome>()
  outcomes.set(client.name, seen)
  process.stdout.write(`\n${name}\n`)
  await client.run(address, (capability, outcome) => {
    seen.set(capability, outcome)
    process.stdout.write(
      `  ${outcome.kind === 'passed' ? 'ok    ' : 'FAILED'} ${capability}${outcome.kind === 'failed' ? `: ${outcome.reason}` : ''}\n`,
    )
  })
}
if (started !== undefined && !started.process.running)
  process.stdout.write(`\nThe broker died:\n${started.process.tail()}\n`)
await started?.process.stop()
rmSync(directory, { recursive: true, force: true })

printTable()
const failed = [...outcomes.values()]
  .flatMap(seen => [...seen.values()])
  .filter(outcome => outcome.kind === 'failed').length
process.stdout.write(failed === 0 ? '\nAll passed.\n' : `\n${failed} failed.\n`)
// A client may leave a connection open after a failure; nothing is left to wait for.
process.exit(failed === 0 && outcomes.size > 0 ? 0 : 1)

async function start(peer: string | undefined) {
  if (peer === undefined) return startDragoman({ data: join(directory, 'data') })
  const missing = kafka.missing()
  if (peer !== kafka.name || missing !== undefined) throw new Error(`Cannot start ${peer}: ${missing ?? 'not a peer'}`)
  return kafka.start({ directory: join(directory, 'data'), durability: 'os' })
}

function printTable(): void {
  const columns = [...outcomes.keys()]
  process.stdout.write(`\n| | ${columns.join(' | ')} |\n|---|${columns.map(() => '---|').join('')}\n`)
  for (const capability of capabilities) {
    const cells = columns.map(column => {
      const outcome = outcomes.get(column)?.get(capability)
      return outcome === undefined ? '' : outcome.kind === 'passed' ? 'yes' : '**no**'
    })
    process.stdout.write(`| ${capability} | ${cells.join(' | ')} |\n`)
  }
  for (const reason of skipped) process.stdout.write(`\nSkipped ${reason}\n`)
}
