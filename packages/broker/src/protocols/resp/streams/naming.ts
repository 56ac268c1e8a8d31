import { hash } from 'node:crypto'
import type { EntryStream, IdRefusal, WantedId } from '../../../core/entry-streams/entry-stream.ts'
import type { Production } from '../../../core/entry-streams/produced.ts'
import { keyArg, word } from '../commands/args.ts'
import type { Args, Client, CommandSpec } from '../commands/command.ts'
import { CommandError, noSuchKey, syntaxError } from '../errors.ts'
import { integerArg } from '../numbers.ts'
import { streamAt } from './stream-client.ts'

/** `IDMP producer name`, or `IDMPAUTO producer`: then the fields are the name. */
export interface Naming {
  readonly producer: Buffer
  readonly name: Buffer | undefined
}

export const isNaming = (option: string, left: number): boolean =>
  (option === 'idmp' && left > 1) || (option === 'idmpauto' && left > 0)

export function namingAt(args: Args, at: number, option: string): Naming {
  const producer = Buffer.from(args[at + 1]!)
  const name = option === 'idmp' ? Buffer.from(args[at + 2]!) : undefined
  if (producer.length === 0) throw new CommandError(`ERR ${option.toUpperCase()} requires a non-empty producer ID`)
  if (name?.length === 0) throw new CommandError('ERR IDMP requires a non-empty idempotent ID')
  return { producer, name }
}

export function demandNextId(wanted: WantedId): void {
  if (wanted !== 'next') throw new CommandError('ERR IDMP/IDMPAUTO can be used only with auto-generated IDs')
}

export function productionOf({ stream }: EntryStream, naming: Naming, args: Args, fieldsAt: number): Production {
  const { producer, name } = naming
  return { stream, producer, name: name ?? digestOf(args, fieldsAt) }
}

/** Of the fields and their values, in whatever order they are. */
function digestOf(args: Args, fieldsAt: number): Buffer {
  const pairs: Buffer[] = []
  for (let at = fieldsAt; at + 1 < args.length; at += 2) pairs.push(pairOf(args[at]!, args[at + 1]!))
  return hash('sha256', Buffer.concat(pairs.sort((a, b) => a.compare(b))), 'buffer')
}

/** With its length before each part, so that no two pairs are the same bytes. */
function pairOf(field: Buffer, value: Buffer): Buffer {
  const lengths = Buffer.alloc(8)
  lengths.writeUInt32BE(field.length, 0)
  lengths.writeUInt32BE(value.length, 4)
  return Buffer.concat([lengths, field, value])
}

/** Adds an entry, and notes how its producer calls it, in one block. */
export function addNamed(
  { broker }: Client,
  stream: EntryStream,
  production: Production | undefined,
  add: () => IdRefusal | undefined,
): IdRefusal | undefined {
  if (!production) return add()
  let refusal: IdRefusal | undefined
  stream.atomic(() => {
    refusal = add()
    if (refusal === undefined) broker.produced.note(production, stream.state.lastId)
  })
  return refusal
}

const bounds = {
  'idmp-duration': { max: 86_400, unit: ' seconds' },
  'idmp-maxsize': { max: 10_000, unit: '' },
} as const

export const configCommand: CommandSpec = {
  name: 'xcfgset',
  arity: -2,
  flags: ['write', 'fast'],
  keys: [1, 1, 1],
  since: '8.6.0',
  group: 'stream',
  summary: 'Says for how long, and how many, names of entries are remembered by which producers add them once.',
  run: configure,
}

function configure(client: Client, args: Args): void {
  if (args.length === 2) throw new CommandError('ERR At least one parameter must be specified')
  const given: { durationMs?: number; countMax?: number } = {}
  for (let at = 2; at < args.length; at += 2) {
    const name = word(args, at)
    if (name !== 'idmp-duration' && name !== 'idmp-maxsize') throw syntaxError()
    if (at + 1 >= args.length) throw syntaxError()
    const value = integerArg(args[at + 1])
    const { max, unit } = bounds[name]
    if (value < 1 || value > max) {
      throw new CommandError(`ERR ${name.toUpperCase()} must be between 1 and ${max}${unit}`)
    }
    if (name === 'idmp-duration') given.durationMs = value * 1000
    else given.countMax = value
  }
  const stream = streamAt(client, keyArg(args, 1))
  if (!stream) throw noSuchKey()
  client.broker.produced.configure(stream.stream, given)
  client.reply.ok()
}

/** What `XINFO STREAM` tells of names; nothing of a stream to which nothing was added by any. */
export function namesOf({ broker }: Client, { stream }: EntryStream): readonly [string, number][] {
  const about = broker.produced.about(stream)
  if (!about) return []
  const { durationMs, countMax } = about
  return [
    ['idmp-duration', durationMs / 1000],
    ['idmp-maxsize', countMax],
    ['pids-tracked', about.producerCount],
    ['iids-tracked', about.trackedCount],
    ['iids-added', about.addedCount],
    ['iids-duplicates', about.repeatedCount],
  ]
}
