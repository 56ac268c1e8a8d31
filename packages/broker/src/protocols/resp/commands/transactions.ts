import { storageFull } from '../../../core/refusals.ts'
import { answerToError, CommandError } from '../errors.ts'
import { keyArg } from './args.ts'
import type { Args, Client, CommandSpec, Flag } from './command.ts'

const flags: readonly Flag[] = ['noscript', 'loading', 'stale', 'fast', 'no_multi']

/** Commands of transactions. */
export const transactionCommands: readonly CommandSpec[] = [
  {
    name: 'multi',
    arity: 1,
    flags,
    since: '1.2.0',
    group: 'transactions',
    summary: 'Queues what follows, to be carried out together.',
    isVolatile: true,
    run({ transaction, reply }) {
      if (transaction.isOpen) throw new CommandError('ERR MULTI calls can not be nested')
      transaction.begin()
      reply.ok()
    },
  },
  {
    name: 'exec',
    arity: 1,
    flags,
    since: '1.2.0',
    group: 'transactions',
    summary: 'Carries out what was queued: all of it becomes durable, or none.',
    run: execute,
  },
  {
    name: 'discard',
    arity: 1,
    flags,
    since: '2.0.0',
    group: 'transactions',
    summary: 'Forgets what was queued.',
    isVolatile: true,
    run({ transaction, reply }) {
      if (!transaction.isOpen) throw new CommandError('ERR DISCARD without MULTI')
      transaction.end()
      reply.ok()
    },
  },
  {
    name: 'watch',
    arity: -2,
    flags,
    keys: [1, -1, 1],
    rights: ['read'],
    since: '2.2.0',
    group: 'transactions',
    summary: 'Makes the next transaction fail if one of the keys is changed before it.',
    run: watch,
  },
  {
    name: 'unwatch',
    arity: 1,
    flags: ['noscript', 'loading', 'stale', 'fast'],
    since: '2.2.0',
    group: 'transactions',
    summary: 'Forgets what is watched.',
    isVolatile: true,
    run({ transaction, reply }) {
      transaction.unwatch()
      reply.ok()
    },
  },
]

function watch({ transaction, keys, reply }: Client, args: Args): void {
  if (transaction.isOpen) throw new CommandError('ERR WATCH inside MULTI is not allowed')
  for (let at = 1; at < args.length; at++) {
    const key = keyArg(args, at)
    if (transaction.isWatching(key)) continue
    const unwatch = keys.watch(key, () => (transaction.isStale = true))
    transaction.watch(key, keys.versionOf(key), unwatch)
  }
  reply.ok()
}

function execute(client: Client): void {
  const { transaction, keys, reply, broker } = client
  if (!transaction.isOpen) throw new CommandError('ERR EXEC without MULTI')
  if (transaction.hasFailed) {
    transaction.end()
    throw new CommandError('EXECABORT Transaction discarded because of previous errors.')
  }
  // Other protocols change queues and topics, too.
  let { isStale } = transaction
  for (const [key, { version }] of transaction.watched()) isStale ||= keys.versionOf(key) !== version
  const { commands } = transaction
  if (isStale) {
    transaction.end()
    return reply.nilArray()
  }
  if (broker.cell.isFull && commands.some(({ spec }) => spec.flags.includes('denyoom'))) {
    transaction.end()
    throw new CommandError(`EXECABORT Transaction discarded because of: ${answerToError(storageFull())}`)
  }
  // Throws when something has to be read first; then all of this is done again.
  for (const { spec, args } of commands) prepare(client, spec, args)
  transaction.end()
  reply.array(commands.length)
  client.isExecuting = true
  try {
    broker.ledger.atomic(() => {
      for (const { spec, args } of commands) client.execute(spec, args)
    })
  } finally {
    client.isExecuting = false
  }
}

/** What a command would be refused for, it is refused for when it is carried out. */
function prepare(client: Client, spec: CommandSpec, args: Args): void {
  try {
    spec.prepare?.(client, args)
  } catch (error) {
    if (error instanceof CommandError) return
    throw error
  }
}
