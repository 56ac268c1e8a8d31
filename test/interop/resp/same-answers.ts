import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { ServerProcess } from '../../support/server-process.ts'
import { freePorts } from '../../../bench/peers/ports.ts'
import { isThere } from '../fetched.ts'
import { runChecks, type Client } from '../suite.ts'
import { versions } from '../versions.ts'
import { compare as compareRandom, compareFixed, type Address } from './random/compare.ts'
import { fixedCommands } from './random/fixed-commands.ts'
import { keyForms, listForms, looseForms, stringForms, transactionForms, wrongForms } from './random/forms.ts'

const steps = 3000
const familySteps = 1000
const watchedSteps = 250
const seeds = [1, 2, 3]
const keys = ['k1', 'k2', 'k3']
const groups = ['g1', 'g2']
const consumers = ['a', 'b', 'c']

/** Random commands of streams. Ids are few, so that they meet. */
class Commands {
  #state: number
  #next = 1

  constructor(seed: number) {
    this.#state = seed
  }

  take(): string[] {
    return this.#one(this.#forms)()
  }

  #below(count: number): number {
    this.#state = (Math.imul(this.#state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return Math.floor((this.#state / 0x8000_0000) * count)
  }

  #one<T>(list: readonly T[]): T {
    const found = list[this.#below(list.length)]
    assert(found !== undefined)
    return found
  }

  readonly #key = (): string => this.#one(keys)
  readonly #id = (): string => `${this.#below(60)}${this.#one(['', '-0', '-1', '-2'])}`
  readonly #ids = (): string[] => Array.from({ length: 1 + this.#below(3) }, this.#id)
  readonly #bound = (): string => this.#one([this.#id(), this.#id(), `(${this.#id()}`, '-', '+'])
  readonly #count = (): string[] => (this.#below(3) > 0 ? ['COUNT', String(this.#below(5))] : [])
  readonly #newId = (): string => {
    this.#next += this.#below(2)
    return this.#one([`${this.#next}-${this.#below(4)}`, `${this.#next}-*`, `${this.#next + 1}`, this.#id()])
  }
  readonly #member = (): string[] => [this.#one(groups), this.#one(consumers)]

  readonly #forms: (() => string[])[] = [
    () => [
      'XADD',
      this.#key(),
      ...this.#one([[], [], ['MAXLEN', String(this.#below(20))], ['MINID', this.#id()], ['NOMKSTREAM']]),
      this.#newId(),
      'field',
      String(this.#below(100)),
    ],
    () => ['XADD', this.#key(), this.#newId(), 'a', '1', 'body', '2'],
    () => ['XRANGE', this.#key(), this.#bound(), this.#bound(), ...this.#count()],
    () => ['XREVRANGE', this.#key(), this.#bound(), this.#bound(), ...this.#count()],
    () => ['XDEL', this.#key(), ...this.#ids()],
    () => [
      'XTRIM',
      this.#key(),
      ...this.#one([
        ['MAXLEN', String(this.#below(20))],
        ['MINID', this.#id()],
      ]),
    ],
    () => ['XREAD', ...this.#count(), 'STREAMS', 'k1', this.#key(), this.#id(), this.#one([this.#id(), '$'])],
    () => ['XGROUP', 'SETID', this.#key(), this.#one(groups), this.#one([this.#id(), '$', '0'])],
    () => ['XREADGROUP', 'GROUP', ...this.#member(), ...this.#count(), 'STREAMS', this.#key(), '>'],
    () => ['XREADGROUP', 'GROUP', ...this.#member(), 'NOACK', ...this.#count(), 'STREAMS', this.#key(), '>'],
    () => ['XREADGROUP', 'GROUP', ...this.#member(), ...this.#count(), 'STREAMS', this.#key(), this.#id()],
    () => ['XACK', this.#key(), this.#one(groups), ...this.#ids()],
    () => ['XPENDING', this.#key(), this.#one(groups)],
    () => ['XPENDING', this.#key(), this.#one(groups), this.#bound(), this.#bound(), String(this.#below(6))],
    () => [
      'XCLAIM',
      this.#key(),
      ...this.#member(),
      '0',
      ...this.#ids(),
      ...this.#one([[], ['JUSTID'], ['FORCE'], ['RETRYCOUNT', '7'], ['FORCE', 'JUSTID'], ['LASTID', this.#id()]]),
    ],
    () => ['XAUTOCLAIM', this.#key(), ...this.#member(), '0', this.#bound(), ...this.#one([[], ['COUNT', '2']])],
    () => ['XINFO', 'GROUPS', this.#key()],
    () => ['XLEN', this.#key()],
  ]
}

/** What does not depend on the moment. */
function timeless(command: readonly string[], answer: unknown): unknown {
  if (answer instanceof Error) return answer.message
  const isListOfPending = command[0] === 'XPENDING' && command.length > 3 && Array.isArray(answer)
  return isListOfPending ? answer.map(([id, consumer, , count]: unknown[]) => [id, consumer, count]) : answer
}

async function compareStreams(ours: Address, theirs: Address): Promise<void> {
  const clients = [ours, theirs].map(({ host, port }) => new Redis(port, host)) as [Redis, Redis]
  for (const seed of seeds) await compare(...clients, seed)
  for (const client of clients) client.disconnect()
}

async function compare(ours: Redis, theirs: Redis, seed: number): Promise<void> {
  const both = async (command: string[]): Promise<unknown[]> =>
    Promise.all([ours, theirs].map(client => client.call(...(command as [string])).catch((error: unknown) => error)))
  await both(['FLUSHALL'])
  for (const key of keys) {
    for (const group of groups) {
      await both(['XGROUP', 'CREATE', key, group, '0', 'MKSTREAM'])
      // Releases differ in which commands make consumers.
      for (const consumer of consumers) await both(['XGROUP', 'CREATECONSUMER', key, group, consumer])
    }
  }
  const commands = new Commands(seed)
  for (let step = 0; step < steps; step++) {
    const command = commands.take()
    const [mine, other] = (await both(command)).map(answer => timeless(command, answer))
    assert.deepEqual(mine, other, `seed ${seed}, step ${step}: ${command.join(' ')}`)
  }
}

const families = {
  'lists and keys': [...listForms, ...listForms, ...keyForms, ...stringForms.slice(0, 3)],
  'strings and keys': [...stringForms, ...keyForms, ...looseForms],
  'transactions of two connections': [
    ...[...transactionForms, ...transactionForms],
    ...[...listForms, ...stringForms, ...keyForms],
  ],
  'wrong commands': wrongForms,
}

/** In both versions of the protocol; events of keys are compared, too, in a part of it: they cost a round trip each. */
async function compareFamily(ours: Address, theirs: Address, family: keyof typeof families): Promise<void> {
  for (const protocolVersion of [2, 3] as const) {
    for (const seed of seeds.slice(0, 2)) {
      const common = { seed, protocolVersion, forms: families[family] }
      await compareRandom(ours, theirs, { ...common, steps: familySteps })
      await compareRandom(ours, theirs, { ...common, seed: seed + 100, steps: watchedSteps, isWatched: true })
    }
  }
}

async function withRedis(run: (address: Address) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-redis-'))
  const [port] = await freePorts(1)
  assert(port !== undefined)
  const server = await ServerProcess.start({
    command: 'redis-server',
    args: ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory, '--save', '', '--appendonly', 'no'],
    isReady: line => line.includes('Ready to accept connections'),
  })
  try {
    await run({ host: '127.0.0.1', port })
  } finally {
    await server.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** A Redis beside, of which the same is asked. */
export const redisBeside: Client = {
  name: 'redis-server beside',
  pinned: versions.redisDebian,
  from: 'Debian',
  // Very many commands, one after the other.
  durability: 'os',
  version: () =>
    /v=([\d.]+)/.exec(spawnSync('redis-server', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[1] ?? '',
  missing: () => (isThere('redis-server', '--version') ? undefined : 'no redis-server (apt install redis-server)'),
  async run({ address }, report) {
    const [host = '', port = ''] = address.split(':')
    const ours = { host, port: Number(port) }
    await runChecks(
      [
        {
          capability: 'program: random commands of streams are answered as Redis does',
          run: () => withRedis(theirs => compareStreams(ours, theirs)),
        },
        ...(Object.keys(families) as (keyof typeof families)[]).map(family => ({
          capability: `program: random commands, ${family}: answered as Redis does` as const,
          run: () => withRedis(theirs => compareFamily(ours, theirs, family)),
        })),
        {
          capability: 'program: commands of connections and of the server are answered as Redis does',
          run: () => withRedis(theirs => compareFixed(ours, theirs, fixedCommands)),
        },
      ],
      report,
    )
  },
}
