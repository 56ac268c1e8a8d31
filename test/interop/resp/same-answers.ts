import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ServerProcess } from '../../support/server-process.ts'
import { freePorts } from '../../../bench/peers/ports.ts'
import { isThere } from '../fetched.ts'
import { runChecks, type Client } from '../suite.ts'
import { versions } from '../versions.ts'
import { compare, compareFixed, type Address } from './random/compare.ts'
import { fixedCommands } from './random/fixed-commands.ts'
import { streamForm, streamKeyForms, streamsFirst } from './random/stream-forms.ts'
import { keyForms, listForms, looseForms, stringForms, transactionForms, wrongForms } from './random/forms.ts'

const steps = 1000
const watchedSteps = 250
const seeds = [1, 2]

const families = {
  'lists and keys': [...listForms, ...listForms, ...keyForms, ...stringForms.slice(0, 3)],
  'strings and keys': [...stringForms, ...keyForms, ...looseForms],
  'transactions of two connections': [
    ...[...transactionForms, ...transactionForms],
    ...[...listForms, ...stringForms, ...keyForms],
  ],
  'wrong commands': wrongForms,
}

async function compareStreams(ours: Address, theirs: Address): Promise<void> {
  for (const protocolVersion of [2, 3] as const) {
    for (const seed of seeds) {
      const common = { seed, protocolVersion, first: streamsFirst }
      await compare(ours, theirs, { ...common, forms: [streamForm()], steps })
      // Some within transactions.
      const many = Array.from({ length: 15 }, () => streamForm())
      const forms = [...transactionForms.slice(0, 4), ...streamKeyForms, ...many]
      // How often a key is missed differs between releases.
      const watched = { steps: watchedSteps, isWatched: true, events: 'KEAn' }
      await compare(ours, theirs, { ...common, forms, ...watched })
    }
  }
}

/** In both versions of the protocol; events of keys are compared, too, in a part of it: they cost a round trip each. */
async function compareFamily(ours: Address, theirs: Address, family: keyof typeof families): Promise<void> {
  for (const protocolVersion of [2, 3] as const) {
    for (const seed of seeds) {
      const common = { seed, protocolVersion, forms: families[family] }
      await compare(ours, theirs, { ...common, steps })
      await compare(ours, theirs, { ...common, seed: seed + 100, steps: watchedSteps, isWatched: true })
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
