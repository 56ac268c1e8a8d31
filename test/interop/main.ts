import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { kafka } from '../../bench/peers/kafka.ts'
import { startDragoman } from '../support/dragoman.ts'
import { kafkaClients } from './kafka/clients.ts'
import { writePage } from './page.ts'
import { forget, judge, keep, kept, unknownEntries, type Result, type Row, type Verdict } from './results.ts'
import { startSecure } from './secure.ts'
import type { Client, Place } from './suite.ts'

const suites: Record<string, { title: string; clients: Client[] }> = {
  kafka: { title: 'Kafka', clients: kafkaClients },
}

const usage = `usage: npm run interop -- PROTOCOL [--client NAME [--case TEXT]] [--write] [--broker HOST:PORT | --peer kafka]
PROTOCOL: ${Object.keys(suites).join(', ')}. Runs real clients against a broker of its own, in a process and a directory
of its own. --write makes the compatibility page from the last result of each client; --broker takes a broker that runs;
--peer checks the checks against Apache Kafka itself.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    client: { type: 'string' },
    case: { type: 'string' },
    broker: { type: 'string' },
    peer: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})
const protocol = positionals[0] ?? ''
const suite = suites[protocol]
const clients = suite?.clients.filter(client => values.client === undefined || client.name === values.client) ?? []
if (suite === undefined || clients.length === 0) {
  const known = suite?.clients.map(client => client.name).join(', ')
  process.stderr.write(known === undefined ? usage : `There is no client ${values.client}. There are: ${known}\n`)
  process.exit(2)
}
const isOwnBroker = values.broker === undefined && values.peer === undefined
/** Whole results against our broker: they are held against the known failures, and kept. */
const isOurs = isOwnBroker && values.case === undefined

const complaints: string[] = []
const results: Result[] = []
for (const client of clients) results.push(await use(client))

if (isOurs) {
  if (values.client === undefined) forget(protocol)
  keep(protocol, results)
}
if (isOurs) complaints.push(...results.filter(result => result.missing === undefined).flatMap(unknownEntries))
const failed = results.flatMap(result => result.rows).filter(row => row.verdict.kind === 'failed').length
const order = suite.clients.map(client => client.name)
if (values.write) process.stdout.write(`\n${writePage(protocol, suite.title, kept(protocol, order))} written\n`)
process.stdout.write(`\n${summary()}\n`)
// A client may leave a connection open after a failure; nothing is left to wait for.
process.exit(failed + complaints.length === 0 ? 0 : 1)

/** Runs one client against a broker that no other client has used. */
async function use(client: Client): Promise<Result> {
  const result = { client: client.name, version: '', from: client.from, rows: [] as Row[] }
  const missing = client.missing()
  if (missing !== undefined) {
    process.stdout.write(`\n${client.name}: left out, ${missing}\n`)
    return { ...result, missing }
  }
  result.version = client.version()
  const note = result.version === client.pinned ? '' : ` (checks were written for ${client.pinned})`
  process.stdout.write(`\n${client.name} ${result.version}${note}\n`)
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-interop-'))
  const started = values.broker === undefined ? await start(directory, client) : undefined
  let secured: Awaited<ReturnType<typeof startSecure>> | undefined
  try {
    if (client.wantsSecure === true && isOwnBroker) secured = await startSecure(directory)
    const place: Place = {
      address: values.broker ?? started?.address ?? '',
      only: values.case,
      secure: secured?.secure,
    }
    await client.run(place, (name, outcome) => {
      const verdict: Verdict = isOurs ? judge(client.name, name, outcome) : outcome
      result.rows.push({ case: name, verdict })
      process.stdout.write(`  ${line(name, verdict)}\n`)
    })
    if (started?.process.running === false) complaints.push(`The broker ended: ${started.process.tail()}`)
    if (result.rows.length === 0) complaints.push(`${client.name} had no case`)
  } finally {
    await secured?.broker.process.stop()
    await started?.process.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  return result
}

async function start(directory: string, client: Client) {
  const { peer } = values
  if (peer === undefined) return startDragoman({ data: join(directory, 'data'), args: client.serve ?? [] })
  const missing = kafka.missing()
  if (peer !== kafka.name || missing !== undefined) throw new Error(`Cannot start ${peer}: ${missing ?? 'not a peer'}`)
  return kafka.start({ directory: join(directory, 'data'), durability: 'os' })
}

function line(name: string, verdict: Verdict): string {
  if (verdict.kind === 'passed') return `ok      ${name}${verdict.detail === undefined ? '' : `: ${verdict.detail}`}`
  const word = { failed: 'FAILED ', 'known failure': 'known  ', skipped: 'left   ' }[verdict.kind]
  return `${word} ${name}: ${verdict.reason}`
}

function summary(): string {
  const skipped = results.flatMap(result => (result.missing === undefined ? [] : [result.client]))
  const lines = [...complaints, ...(skipped.length === 0 ? [] : [`Left out: ${skipped.join(', ')}.`])]
  return [...lines, failed + complaints.length === 0 ? 'All passed.' : `${failed} failed.`].join('\n')
}
