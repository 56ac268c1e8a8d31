import assert from 'node:assert/strict'
import { Random } from '@dragoman/wire'
import type { RespValue } from '../../../../packages/broker/src/protocols/resp/value.ts'
import { commandOf, type Form } from './forms.ts'
import { PlainClient, shown } from './plain-client.ts'

export interface Address {
  host: string
  port: number
}

export interface Comparison {
  readonly seed: number
  readonly steps: number
  readonly protocolVersion: 2 | 3
  readonly forms: readonly Form[]
  /** Sent before, for what they do. */
  readonly first?: readonly (readonly string[])[]
  /** Events of keys are compared, too. */
  readonly isWatched?: boolean
  /** Which ones, as `notify-keyspace-events` has them; all, when absent. */
  readonly events?: string
  /** Called with each difference; absent: the first one is the end. */
  readonly differs?: (difference: string) => void
}

/** Sends the same commands to both, one after the other, by one connection. */
export async function compareFixed(
  ours: Address,
  theirs: Address,
  commands: readonly (readonly string[])[],
): Promise<void> {
  const clients = [await PlainClient.connect(ours), await PlainClient.connect(theirs)]
  try {
    for (const command of [['FLUSHALL'], ['CONFIG', 'SET', 'notify-keyspace-events', ''], ...commands]) {
      const [mine, other] = await Promise.all(clients.map(async client => shown(await client.ask(command))))
      assert.equal(mine, other, command.join(' '))
    }
  } finally {
    for (const client of clients) client.close()
  }
}

/** One server and the connections to it. */
interface Side {
  readonly actors: PlainClient[]
  readonly listener: PlainClient
  /** One that queues nothing. */
  readonly marker: PlainClient
}

const actorCount = 2
const eventPattern = '__key*__:*'
const mark = '__keymark__:'

/** Sends the same random commands to both, and expects the same answers: kinds of values, texts of errors, events and their order. */
export async function compare(ours: Address, theirs: Address, comparison: Comparison): Promise<void> {
  const sides = [await open(ours, comparison), await open(theirs, comparison)] as const
  const random = new Random(comparison.seed)
  try {
    for (let step = 0; step < comparison.steps; step++) {
      const actor = random.below(4) === 0 ? 1 : 0
      const command = commandOf(random, comparison.forms)
      const [mine, other] = await Promise.all(sides.map(side => outcome(side, actor, command, comparison)))
      if (mine === other) continue
      const what = `seed ${comparison.seed}, step ${step}, connection ${actor}: ${JSON.stringify(command)}\n  ours   ${mine}\n  theirs ${other}`
      if (!comparison.differs) assert.fail(what)
      comparison.differs(what)
    }
  } finally {
    for (const { actors, listener, marker } of sides) for (const client of [...actors, listener, marker]) client.close()
  }
}

async function open(
  address: Address,
  { protocolVersion, isWatched, first: before = [], events = 'KEAmn' }: Comparison,
): Promise<Side> {
  const connected = async (): Promise<PlainClient> => PlainClient.connect(address)
  const actors = await Promise.all(Array.from({ length: actorCount }, connected))
  const [listener, marker] = [await connected(), await connected()]
  for (const actor of actors) await actor.ask(['HELLO', String(protocolVersion)])
  const [first] = actors
  assert(first)
  await first.ask(['FLUSHALL'])
  for (const command of before) await first.ask(command)
  await first.ask(['CONFIG', 'SET', 'notify-keyspace-events', isWatched ? events : ''])
  if (isWatched) await listener.ask(['PSUBSCRIBE', eventPattern])
  return { actors, listener, marker }
}

let marks = 0

async function outcome(
  { actors, listener, marker }: Side,
  actor: number,
  command: readonly string[],
  { isWatched }: Comparison,
): Promise<string> {
  const client = actors[actor]
  assert(client)
  const answer = shown(timeless(command, await client.ask(command)))
  if (!isWatched) return answer
  // What comes from a channel comes in its order: behind this, there is nothing more of the command.
  const word = String(++marks)
  await marker.ask(['PUBLISH', mark, word])
  while (!listener.told.at(-1)?.includes(JSON.stringify(word))) await new Promise(resolve => setImmediate(resolve))
  const told = listener.told.splice(0).filter(each => !each.includes(mark))
  return [answer, ...told].join('\n         ')
}

/** What does not depend on the moment, on chance or on the release. */
function timeless(command: readonly string[], answer: RespValue): RespValue {
  const name = command[0]?.toUpperCase() ?? ''
  if ('items' in answer) {
    const items = answer.items.map(each => timeless([], each))
    // For how long nobody has touched an entry is the third item.
    if (isPendingRow(answer)) items.splice(2, 1)
    return { kind: answer.kind, items: name === 'KEYS' ? items.sort((a, b) => (shown(a) < shown(b) ? -1 : 1)) : items }
  }
  if (answer.kind === 'error') {
    const isOfRelease = String(answer.text).startsWith('ERR Unbalanced ')
    return isOfRelease ? { kind: 'error', text: null } : answer
  }
  const isTime = name === 'TTL' || name === 'PTTL' || name === 'EXPIRETIME' || name === 'PEXPIRETIME'
  if (!isTime || answer.kind !== 'integer') return answer
  const number = Number(answer.text)
  const unit = name.startsWith('P') ? 60_000 : 60
  return number < 0 ? answer : { kind: 'integer', text: Buffer.from(String(Math.round(number / unit))) }
}

/** As `XPENDING` tells of an entry: id, consumer, time, count. */
const isPendingRow = (answer: RespValue): boolean =>
  'items' in answer && answer.items.map(({ kind }) => kind).join(' ') === 'bulk bulk integer integer'
