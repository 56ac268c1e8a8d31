import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { activemq } from '../../bench/peers/activemq.ts'
import { beanstalkd } from '../../bench/peers/beanstalkd.ts'
import { kafka } from '../../bench/peers/kafka.ts'
import type { Peer, Protocol, Running } from '../../bench/peers/peer.ts'
import { mosquitto } from '../../bench/peers/mosquitto.ts'
import { rabbitmq } from '../../bench/peers/rabbitmq.ts'
import { redis } from '../../bench/peers/redis.ts'
import { startDragoman } from '../support/dragoman.ts'
import { amqpClients } from './amqp/clients.ts'
import { beanstalkClients } from './beanstalk/clients.ts'
import { respClients } from './resp/clients.ts'
import { kafkaClients } from './kafka/clients.ts'
import { mqttClients } from './mqtt/clients.ts'
import { writePage } from './page.ts'
import { forget, judge, keep, kept, unknownEntries, type Result, type Row, type Verdict } from './results.ts'
import { startSecure } from './secure.ts'
import { stompClients } from './stomp/clients.ts'
import type { Client, Place } from './suite.ts'

interface Suite {
  title: string
  clients: Client[]
  /** The real one, which tells a wrong check from a wrong broker. */
  peer: Peer
}

const suites: Record<Protocol, Suite> = {
  kafka: { title: 'Kafka', clients: kafkaClients, peer: kafka },
  amqp: { title: 'AMQP 0-9-1', clients: amqpClients, peer: rabbitmq },
  beanstalk: { title: 'beanstalk', clients: beanstalkClients, peer: beanstalkd },
  stomp: { title: 'STOMP', clients: stompClients, peer: activemq },
  resp: { title: 'Redis', clients: respClients, peer: redis },
  mqtt: { title: 'MQTT', clients: mqttClients, peer: mosquitto },
}

const usage = `usage: npm run interop -- PROTOCOL... [--client NAME [--case TEXT]] [--write] [--broker HOST:PORT | --peer]
PROTOCOL: ${Object.keys(suites).join(', ')}. Runs real clients against a broker of its own, in a process and a directory
of its own. --write makes the compatibility page from the last result of each client; --broker takes a broker that runs;
--peer checks the checks against Apache Kafka, RabbitMQ, beanstalkd, ActiveMQ, Redis or Mosquitto.
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    client: { type: 'string' },
    case: { type: 'string' },
    broker: { type: 'string' },
    peer: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
})
const isOwnBroker = values.broker === undefined && !values.peer
/** Whole results against our broker: they are held against the known failures, and kept. */
const isOurs = isOwnBroker && values.case === undefined

const complaints: string[] = []
const results: Result[] = []
if (positionals.length === 0) end(usage)
for (const protocol of positionals) {
  if (!(protocol in suites)) end(usage)
  await runSuite(protocol as Protocol)
}
const failed = results.flatMap(result => result.rows).filter(row => row.verdict.kind === 'failed').length
process.stdout.write(`\n${summary()}\n`)
// A client may leave a connection open after a failure; nothing is left to wait for.
process.exit(failed + complaints.length === 0 ? 0 : 1)

function end(words: string): never {
  process.stderr.write(words)
  process.exit(2)
}

async function runSuite(protocol: Protocol): Promise<void> {
  const { title, clients } = suites[protocol]
  const chosen = clients.filter(client => values.client === undefined || client.name === values.client)
  if (chosen.length === 0) {
    end(`There is no client ${values.client}. There are: ${clients.map(client => client.name).join(', ')}\n`)
  }
  const found: Result[] = []
  for (const client of chosen) found.push(await use(protocol, client))
  results.push(...found)
  if (isOurs) {
    if (values.client === undefined) forget(protocol)
    keep(protocol, found)
    complaints.push(...found.filter(result => result.missing === undefined).flatMap(unknownEntries))
  }
  const order = clients.map(client => client.name)
  if (values.write) process.stdout.write(`\n${writePage(protocol, title, kept(protocol, order))} written\n`)
}

/** Runs one client against a broker that no other client has used. */
async function use(protocol: Protocol, client: Client): Promise<Result> {
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
  const started = values.broker === undefined ? await start(protocol, directory, client) : undefined
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

async function start(protocol: Protocol, directory: string, client: Client): Promise<Running> {
  const data = join(directory, 'data')
  const { serve: args = [], durability = 'fsync', host } = client
  const where = host === undefined ? {} : { host }
  if (!values.peer) return startDragoman({ data, protocol, durability, args, ...where })
  const { peer } = suites[protocol]
  const missing = peer.missing()
  if (missing !== undefined) throw new Error(`Cannot start ${peer.name}: ${missing}`)
  return peer.start({ directory: data, durability: 'os' })
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
