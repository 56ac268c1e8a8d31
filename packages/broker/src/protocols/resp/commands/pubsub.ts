import { subjectExchange } from '../../../core/routing/exchange.ts'
import { CommandError } from '../errors.ts'
import type { ChannelKind } from '../pubsub.ts'
import type { Args, Client, CommandSpec } from './command.ts'

interface Words {
  readonly kind: ChannelKind
  readonly subscribed: string
  readonly unsubscribed: string
}

const channel: Words = { kind: 'channel', subscribed: 'subscribe', unsubscribed: 'unsubscribe' }
const pattern: Words = { kind: 'pattern', subscribed: 'psubscribe', unsubscribed: 'punsubscribe' }
const shard: Words = { kind: 'shard', subscribed: 'ssubscribe', unsubscribed: 'sunsubscribe' }

const subscribing = (words: Words, since: string): CommandSpec => ({
  name: words.subscribed,
  arity: -2,
  flags: ['pubsub', 'noscript', 'loading', 'stale'],
  since,
  group: 'pubsub',
  summary: `Is given what is published to ${words.kind === 'pattern' ? 'channels that match patterns' : 'channels'}.`,
  isVolatile: true,
  run: (client, args) => client.reply.always(() => subscribe(client, args, words)),
})

const unsubscribing = (words: Words, since: string): CommandSpec => ({
  name: words.unsubscribed,
  arity: -1,
  flags: ['pubsub', 'noscript', 'loading', 'stale'],
  since,
  group: 'pubsub',
  summary: 'Is given no more of it.',
  isVolatile: true,
  run: (client, args) => client.reply.always(() => unsubscribe(client, args, words)),
})

/** Commands of channels. */
export const pubsubCommands: readonly CommandSpec[] = [
  subscribing(channel, '2.0.0'),
  unsubscribing(channel, '2.0.0'),
  subscribing(pattern, '2.0.0'),
  unsubscribing(pattern, '2.0.0'),
  subscribing(shard, '7.0.0'),
  unsubscribing(shard, '7.0.0'),
  {
    name: 'publish',
    arity: 3,
    flags: ['pubsub', 'loading', 'stale', 'fast'],
    since: '2.0.0',
    group: 'pubsub',
    summary: 'Publishes a message to a channel; tells how many have been given it.',
    isVolatile: true,
    run: (client, args) => publish(client, args, 'channel'),
  },
  {
    name: 'spublish',
    arity: 3,
    flags: ['pubsub', 'loading', 'stale', 'fast'],
    since: '7.0.0',
    group: 'pubsub',
    summary: 'Publishes a message to a channel of a shard.',
    isVolatile: true,
    run: (client, args) => publish(client, args, 'shard'),
  },
  {
    name: 'pubsub',
    arity: -2,
    flags: [],
    since: '2.8.0',
    group: 'pubsub',
    summary: 'Tells who is subscribed to what.',
    subcommands: [
      looking('channels', -2, '2.8.0', 'Tells the channels that have subscribers.', (client, args) => {
        tellChannels(client, args, 'channel')
      }),
      looking('shardchannels', -2, '7.0.0', 'The same of shards.', (client, args) =>
        tellChannels(client, args, 'shard'),
      ),
      looking('numsub', -2, '2.8.0', 'Tells how many subscribers channels have.', (client, args) => {
        tellCounts(client, args, 'channel')
      }),
      looking('shardnumsub', -2, '7.0.0', 'The same of shards.', (client, args) => tellCounts(client, args, 'shard')),
      looking('numpat', 2, '2.8.0', 'Tells how many patterns there are.', ({ server, reply }) => {
        reply.integer(server.pubsub.patternCount)
      }),
    ],
  },
]

function looking(
  name: string,
  arity: number,
  since: string,
  summary: string,
  run: (client: Client, args: Args) => void,
): CommandSpec {
  const flags = ['pubsub', 'loading', 'stale'] as const
  return { name, arity, flags, since, group: 'pubsub', summary, isVolatile: true, run }
}

function subscribe(client: Client, args: Args, { kind, subscribed }: Words): void {
  const { subscriptions, reply } = client
  if (subscriptions.count + args.length - 1 > client.broker.limits.queueWatchesMax) {
    throw new CommandError('ERR too many subscriptions')
  }
  client.demand('read', subjectExchange)
  for (let at = 1; at < args.length; at++) {
    const name = args[at]!.toString('latin1')
    demandKey(client, 'read', name)
    subscriptions.add(kind, name)
    reply.push(3)
    reply.text(subscribed)
    reply.binary(name)
    reply.integer(subscriptions.countOf(kind))
  }
}

function unsubscribe({ subscriptions, reply }: Client, args: Args, { kind, unsubscribed }: Words): void {
  const names = args.length > 1 ? args.slice(1).map(part => part.toString('latin1')) : subscriptions.names(kind)
  for (const name of names) {
    subscriptions.remove(kind, name)
    reply.push(3)
    reply.text(unsubscribed)
    reply.binary(name)
    reply.integer(subscriptions.countOf(kind))
  }
  if (names.length > 0) return
  reply.push(3)
  reply.text(unsubscribed)
  reply.nil()
  reply.integer(subscriptions.countOf(kind))
}

function publish(client: Client, args: Args, kind: 'channel' | 'shard'): void {
  const { server, reply } = client
  const name = args[1]!.toString('latin1')
  client.demand('write', subjectExchange)
  demandKey(client, 'write', name)
  if (kind === 'shard') return reply.integer(server.pubsub.publishToShard(name, args[2]!))
  const { count, seq } = server.pubsub.publish(name, args[2]!)
  client.durableWith(seq)
  reply.integer(count)
}

function demandKey({ broker, profile, namespace }: Client, permission: 'read' | 'write', name: string): void {
  const key = Buffer.from(name, 'latin1').toString()
  const rights = profile.access && broker.identity.inNamespace(profile.access, namespace)
  if (rights?.mayUseKey(permission, subjectExchange, key) !== true) {
    throw new CommandError('NOPERM No permissions to access a channel')
  }
}

function tellChannels({ server, reply }: Client, args: Args, kind: 'channel' | 'shard'): void {
  if (args.length > 3)
    throw new CommandError(
      `ERR unknown subcommand or wrong number of arguments for '${args[1]!.toString('latin1', 0, 64)}'. Try PUBSUB HELP.`,
    )
  const names = server.pubsub.channels(kind, args[2]?.toString('latin1'))
  reply.array(names.length)
  for (const name of names) reply.binary(name)
}

function tellCounts({ server, reply }: Client, args: Args, kind: 'channel' | 'shard'): void {
  reply.array(2 * (args.length - 2))
  for (let at = 2; at < args.length; at++) {
    const name = args[at]!.toString('latin1')
    reply.binary(name)
    reply.integer(server.pubsub.memberCount(kind, name))
  }
}
