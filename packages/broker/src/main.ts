import { createLog, type Log } from './admin/log.ts'
import { Cell } from './cell/cell.ts'
import type { CellClient, StreamId } from './cell/client.ts'
import { LocalCellClient } from './cell/local-client.ts'
import { defaultCellSizes, type CellOptions, type CellSizes, type LiveRecords, type Retention } from './cell/options.ts'
import type { Broker } from './core/broker.ts'
import { Connections } from './core/connections.ts'
import { Cursors } from './core/cursor/cursors.ts'
import type { TopicSight } from './core/groups/assigned/interests.ts'
import { EntryStreams } from './core/entry-streams/entry-streams.ts'
import { Feeds } from './core/feeds/feeds.ts'
import { Produced } from './core/entry-streams/produced.ts'
import { KeyedValues } from './core/values/keyed-values.ts'
import { endTogether } from './core/values/endings.ts'
import { Lists } from './core/lists/lists.ts'
import { Groups } from './core/groups/groups.ts'
import type { Header } from './core/message.ts'
import { Origins, type MappedRecord } from './core/origins.ts'
import type { GroupSettings } from './core/groups/settings.ts'
import type { Identity } from './core/identity/identity.ts'
import { namespaceContents } from './core/namespaces/contents.ts'
import { Namespaces } from './core/namespaces/namespaces.ts'
import { TopicConsumers } from './core/reading/topic-consumers.ts'
import { Delayed } from './core/delayed/delayed.ts'
import type { DelayedSizes } from './core/delayed/volumes.ts'
import { Schedules } from './core/delayed/schedules.ts'
import { ShareGroups } from './core/share/share-groups.ts'
import { sharedAssignors } from './core/share/shared-assignor.ts'
import { Policies } from './core/policies/policies.ts'
import { Quotas } from './core/quotas/quotas.ts'
import { Retained } from './core/retained/retained.ts'
import { Sessions } from './core/sessions/sessions.ts'
import { TimerWheel } from './core/timers/wheel.ts'
import { Queues } from './core/queues/queues.ts'
import { Router } from './core/routing/router.ts'
import { Topics } from './core/topics.ts'
import { WorkQueues } from './core/work/work-queues.ts'
import type { TransactionSettings } from './core/transactions/settings.ts'
import { Transactions } from './core/transactions/transactions.ts'
import { checkDescriptors } from './descriptors.ts'
import { memoryStores, openDirectory, type Stores } from './data-directory.ts'
import { clockOf } from './clock.ts'
import { machines } from './machines.ts'
import { bindListeners, type OpenListener } from './listeners.ts'
import { readObject, settle } from './options/read.ts'
import { optionTable, type Settings, type Values } from './options/table.ts'
import { entries, type ListenerName } from './entries.ts'
import { protocols } from './protocols/index.ts'
import { realRuntime } from './runtime/real/real-runtime.ts'
import { DiskError, type Address, type Runtime } from './runtime/runtime.ts'
import type { SteadyClock } from './runtime/steady-clock.ts'
import { checkExposure, makeIdentity, readSecurity, watchTls, type SecurityParts } from './security.ts'
import { Corrupt } from './storage/errors.ts'
import { RoomWatch } from './storage/room-watch.ts'
import { StartError } from './start-error.ts'
import { volumeOf } from './volume.ts'

type Scalar<T> = T extends number | boolean ? T | string : T extends readonly unknown[] ? string : T

/**
 * Options of an embedded broker: those of `dragoman serve`, in camel case. A protocol listens only when it is given a port (0:
 * any free one) or an address.
 */
export type BrokerOptions = { [K in Exclude<keyof Values, 'config'>]?: Scalar<Values[K]> } & {
  [P in ListenerName | `${ListenerName}Tls`]?: number | string
} & { [P in ListenerName as `${P}Advertised` | `${P}TlsAdvertised`]?: string }

type Sizes = CellSizes & { readonly delayed?: DelayedSizes }

/** What surrounds a broker; all of it has a default. */
export interface Surroundings {
  runtime?: Runtime
  /**
   * Called when going on could lose or alter data: a disk error, a broken invariant. The broker has stopped. Default: the error
   * is printed and the process exits with code 3. Of no effect with a `runtime`, which brings its own.
   */
  onFatal?(error: Error): void
  /** Takes the log, line by line. Default: stderr. */
  writeLog?(line: string): void
  /** Sizes that are no options because nobody should need to turn them: small ones let a simulation meet every edge. */
  sizes?: Partial<Sizes>
  journalFileBytes?: number
}

export interface RunningBroker {
  /** The port on which a protocol listens. Throws when its listener is off. */
  port(protocol: ListenerName | `${ListenerName}-tls`): number
  readonly listeners: readonly { readonly name: string; readonly address: Address }[]
  /** The core, as the sessions see it. */
  readonly core: Broker
  /** Stops accepting, answers what is in flight, makes everything durable, and leaves nothing open. */
  close(): Promise<void>
}

/** Requests in flight have this long to end before the cell is closed; waiting fetches are then sent home. */
const drainMs = 500
/** Then answers have this long to reach their peers. */
const partMs = 300

/** Starts a broker within this process. Rejects with `OptionError` or `StartError`. */
export async function startBroker(
  options: BrokerOptions = {},
  surroundings: Surroundings = {},
): Promise<RunningBroker> {
  const given = readObject(optionTable(entries), options)
  for (const { name } of entries) if (!given.has(name)) given.set(name, { text: 'off', origin: name })
  // An embedded broker is quiet unless there is something to worry about.
  if (!given.has('logLevel')) given.set('logLevel', { text: 'warn', origin: 'logLevel' })
  return openBroker(settle(entries, [given]), surroundings)
}

/** The same from settings: what the command line does. */
export async function openBroker(settings: Settings, surroundings: Surroundings = {}): Promise<RunningBroker> {
  const outside = surroundings.runtime ?? realRuntime(surroundings.onFatal && { onFatal: surroundings.onFatal })
  const write = surroundings.writeLog ?? (line => void process.stderr.write(line))
  const logFor = createLog({ level: settings.logLevel, nowMs: () => outside.clock.nowMs(), write })
  await checkDescriptors(outside)
  const clock = clockOf(outside, settings.clockPatienceMs, logFor('broker'))
  const runtime = { ...outside, clock }
  const security = await readSecurity(settings, runtime, logFor('identity'))
  const room = new RoomWatch({ clock: runtime.clock, log: logFor('storage') })
  const stores = await openStores(settings, runtime, surroundings, room, logFor('storage')).catch((error: unknown) => {
    throw startFailure(settings, error)
  })
  let cell: Cell | undefined
  try {
    const parts = await openCore(
      settings,
      runtime,
      stores,
      { security, room },
      { ...sizesOf(settings), ...surroundings.sizes },
      logFor,
    )
    cell = parts.cell
    checkExposure(settings, parts.core.identity)
    const { tls } = security
    const { topics } = parts.core
    const connectionsMax = (): number => topics.overrideOf('connectionsMax') ?? settings.connectionsMax
    const { isRequired } = parts.core.identity
    const listeners = await bindListeners(settings, runtime, tls, cell, logFor, connectionsMax, isRequired)
    for (const { name, told, protocol } of listeners) {
      parts.addresses.set(name, told)
      if (protocol.groupBridge !== undefined) parts.groups.useBridge(protocol.groupBridge)
    }
    parts.shown.connectionCounts = () => new Map(listeners.map(of => [of.name, of.listener.connectionCount]))
    for (const { listener, told } of listeners) listener.serve(parts.core, told)
    if (tls !== undefined) {
      const renew = (files: typeof tls): void => {
        parts.shown.certificate = files.identity.cert
        for (const { listener } of listeners) listener.renew(files)
      }
      parts.stop.push(watchTls(settings, runtime, tls, renew, logFor('broker')))
    }
    return new EmbeddedBroker(runtime, stores, parts, listeners)
  } catch (error) {
    await cell?.close()
    await stores.close()
    throw startFailure(settings, error)
  }
}

async function openStores(
  settings: Settings,
  { disk, clock }: Runtime,
  { journalFileBytes }: Surroundings,
  room: RoomWatch,
  log: Log,
): Promise<Stores> {
  const { data: path, durability, reserveBytes } = settings
  if (path === 'memory') return memoryStores()
  const warn = (message: string): void => log('warn', message)
  return openDirectory({ path, disk, clock, dsync: durability === 'fsync', reserveBytes, journalFileBytes, room, warn })
}

interface Parts {
  cell: Cell
  core: Broker
  groups: Groups
  transactions: Transactions
  addresses: Map<string, Address>
  shown: { certificate: string | undefined; connectionCounts: () => ReadonlyMap<string, number> }
  /** Called first when the broker closes. */
  stop: (() => void)[]
}

async function openCore(
  settings: Settings,
  runtime: Runtime & { readonly clock: SteadyClock },
  stores: Stores,
  { security, room }: { security: SecurityParts; room: RoomWatch },
  sizes: Sizes,
  logFor: (component: string) => Log,
): Promise<Parts> {
  const { clock, random } = runtime
  let queueing: Queueing | undefined
  let entryStreams: EntryStreams | undefined
  const retentionOf = (stream: StreamId): Retention | undefined =>
    entryStreams?.retentionOf(stream) ?? queueing?.queues.retentionOf(stream) ?? queueing?.retained.retentionOf(stream)
  let live: Cursors | undefined
  const liveOf = (stream: StreamId): LiveRecords | undefined =>
    live?.liveOf(stream) ?? entryStreams?.liveOf(stream) ?? queueing?.retained.liveOf(stream)
  const cell = await openCell(runtime, stores, { sizes, retentionOf, liveOf, room, log: logFor('cell') })
  const topics = await Topics.open(cell, {
    limits: settings,
    random,
    partitionsDefault: settings.topicPartitions,
    autoCreate: settings.topicAutoCreate === 'on',
  })
  const identity = makeIdentity(settings, security, { ledger: cell, random, log: logFor('identity') })
  const wheel = new TimerWheel(clock)
  const cursors = (live = new Cursors(cell, wheel))
  const quotas = new Quotas({ ledger: cell, limits: settings })
  const addresses = new Map<string, Address>()
  const shown: Parts['shown'] = { certificate: security.tls?.identity.cert, connectionCounts: () => new Map() }
  const client = new LocalCellClient(cell)
  const base = { ledger: cell, cell: client, limits: settings }
  const grouping = { sight: sightOf(identity), settings: groupSettingsOf(settings), sharedAssignors }
  const groups = new Groups({ ...base, random, topics, ...grouping })
  const shareGroups = new ShareGroups({ ...base, cursors, topics, groups })
  entryStreams = new EntryStreams({ ...base, topics })
  const origins = new Origins(await Promise.all(protocols.map(({ origin }) => origin())))
  const around = { cell, client, topics, shareGroups, identity, cursors, wheel, origins }
  queueing = openQueues(settings, runtime, sizes, logFor, around)
  const transactions = new Transactions({
    ...base,
    groups,
    producerIds: topics,
    settings: transactionSettingsOf(settings),
  })
  const core: Broker = {
    clusterId: topics.clusterId,
    brokerId: settings.brokerId,
    ...base,
    longBlocks: cell.longBlocks,
    topics,
    ...queueing,
    entryStreams,
    groups,
    shareGroups,
    transactions,
    quotas,
    origins,
    volume: volumeOf(settings.data, runtime, cell, settings.reserveBytes, room),
    identity,
    addresses,
    certificate: () => shown.certificate,
    connectionCounts: () => shown.connectionCounts(),
  }
  core.namespaces.resume()
  core.feeds.resume()
  core.sessions.resume()
  const stop = stopsOf(core, [shareGroups, cursors])
  return { cell, core, groups, transactions, addresses, shown, stop }
}

/** What ends before the cell does, in this order. */
function stopsOf(core: Broker, [shareGroups, cursors]: readonly [ShareGroups, Cursors]): (() => void)[] {
  const { feeds, sessions, retained, namespaces, schedules, delayed, lists, values, work, queues } = core
  const closing = [
    feeds,
    sessions,
    retained,
    namespaces,
    shareGroups,
    schedules,
    delayed,
    lists,
    values,
    work,
    queues,
    cursors,
  ]
  return closing.map(part => () => part.close())
}

interface QueueSurroundings {
  cell: Cell
  client: CellClient
  topics: Topics
  shareGroups: ShareGroups
  identity: Identity
  cursors: Cursors
  wheel: TimerWheel
  origins: Origins
}

type Queueing = Pick<
  Broker,
  | 'connections'
  | 'namespaces'
  | 'policies'
  | 'queues'
  | 'router'
  | 'retained'
  | 'sessions'
  | 'delayed'
  | 'schedules'
  | 'topicConsumers'
  | 'work'
  | 'lists'
  | 'values'
  | 'produced'
  | 'feeds'
>

/** Queues, what leads to them and what holds messages back before them, and the namespaces that all of it is in. */
function openQueues(
  settings: Settings,
  { clock, random }: Runtime,
  sizes: Sizes,
  logFor: (component: string) => Log,
  { cell, client, topics, shareGroups, identity, cursors, wheel, origins }: QueueSurroundings,
): Queueing {
  const soon = (run: () => void): void => clock.soon(run)
  const base = { ledger: cell, cell: client, limits: settings }
  const log = logFor('queues')
  const policies = new Policies(base)
  topics.policies = policies
  const queues = new Queues({ ...base, policies, cursors, wheel, random, soon, log })
  const headersOf = (record: MappedRecord): readonly Header[] => origins.messageOf(record).headers
  const router = new Router({ ...base, policies, topics, queues, headersOf })
  const topicConsumers = new TopicConsumers({ ...base, topics, shareGroups, queues, soon })
  const delayed = new Delayed({ ...base, router, pressure: cell, sizes: sizes.delayed, soon, log: logFor('delayed') })
  const schedules = new Schedules({ ...base, router })
  const retained = new Retained(base)
  const sessions = new Sessions({ ...base, wheel, queues, router, retained })
  const values = new KeyedValues(base)
  const connections = new Connections()
  const contents = namespaceContents({
    topics,
    queues,
    router,
    delayed,
    schedules,
    retained,
    values,
    sessions,
    policies,
    identity,
  })
  const namespaces = new Namespaces({ ...base, connections, contents, log: logFor('namespaces') })
  const work = new WorkQueues({ ...base, cursors, queues, wheel, soon, log })
  const published = { router, retained, sessions, delayed, schedules }
  const lists = new Lists({ ...base, queues, work, soon })
  endTogether({ values, lists, queues, topics })
  const produced = new Produced({ ...base, values, topics })
  const feeding = { router, topicConsumers, topics, namespaces, shareGroups, headersOf, pressure: cell }
  const feeds = new Feeds({ ...base, ...feeding, log: logFor('feeds') })
  return {
    connections,
    namespaces,
    policies,
    queues,
    ...published,
    topicConsumers,
    work,
    lists,
    values,
    produced,
    feeds,
  }
}

async function openCell(
  runtime: Runtime & { readonly clock: SteadyClock },
  { chain, blobs }: Stores,
  options: Pick<CellOptions, 'sizes' | 'retentionOf' | 'liveOf' | 'room' | 'log'>,
): Promise<Cell> {
  const { clock, random } = runtime
  const cell = await Cell.open({
    ...options,
    agesMs: () => clock.agesMs(),
    cell: 0,
    chain,
    blobs,
    clock,
    random,
    machines,
    exclusive: true,
    onFatal: error => runtime.fatal(error),
    onFenced: () => runtime.fatal(new Error('Another process has taken over the data')),
  })
  clock.begin(cell.previousMs)
  return cell
}

function transactionSettingsOf(settings: Settings): Partial<TransactionSettings> {
  return {
    timeoutMaxMs: settings.transactionTimeoutMaxMs,
    idExpirationMs: settings.transactionalIdExpirationMs,
    strictConnections: settings.transactionStrictConnections === 'on',
  }
}

function groupSettingsOf(settings: Settings): Partial<GroupSettings> {
  return {
    initialRebalanceDelayMs: settings.groupJoinDelayMs,
    sessionTimeoutMinMs: settings.groupSessionTimeoutMinMs,
    sessionTimeoutMaxMs: settings.groupSessionTimeoutMaxMs,
    offsetsRetentionMs: settings.groupOffsetsRetentionMs,
    assignedSessionTimeoutMs: settings.groupAssignedSessionTimeoutMs,
    assignedSessionTimeoutMinMs: settings.groupAssignedSessionTimeoutMinMs,
    assignedSessionTimeoutMaxMs: settings.groupAssignedSessionTimeoutMaxMs,
    heartbeatIntervalMs: settings.groupHeartbeatIntervalMs,
    heartbeatIntervalMinMs: settings.groupHeartbeatIntervalMinMs,
    heartbeatIntervalMaxMs: settings.groupHeartbeatIntervalMaxMs,
    migration: settings.groupMigration,
    shareLockDurationMs: settings.shareLockDurationMs,
    shareDeliveryLimit: settings.shareDeliveryLimit,
  }
}

/** Which topics the members of groups may know of. How they proved who they are is not kept: users are users. */
function sightOf(identity: Identity): TopicSight {
  return {
    get version() {
      return identity.version
    },
    sees: (_namespace, principal, host, topic) => {
      const proof = identity.user(principal) === undefined ? 'token' : 'password'
      return identity.access(principal, proof, host).may('describe', 'topic', topic)
    },
  }
}

function sizesOf({ flushBytes, flushIntervalMs, retentionCheckIntervalMs, compactionMapBytes }: Settings): CellSizes {
  return {
    ...defaultCellSizes,
    flushBytes,
    flushIntervalMs,
    retentionCheckMs: retentionCheckIntervalMs,
    keyMapBytes: compactionMapBytes,
    unflushedBytesMax: Math.max(defaultCellSizes.unflushedBytesMax, 1.5 * flushBytes),
  }
}

/** What an operator can do something about, in words. */
function startFailure({ data }: Settings, error: unknown): unknown {
  if (error instanceof Corrupt) return new StartError(explainDamage(data, error), { cause: error })
  if (error instanceof DiskError)
    return new StartError(`Cannot use ${data} for data: ${error.message}`, { cause: error })
  return error
}

function explainDamage(data: string, error: Corrupt): string {
  return `The data in ${data} is damaged: ${error.message}. "dragoman verify ${data}" tells more. Nothing was changed`
}

class EmbeddedBroker implements RunningBroker {
  readonly core: Broker
  readonly listeners: readonly OpenListener[]
  readonly #runtime: Runtime
  readonly #stores: Stores
  readonly #parts: Parts
  #closing: Promise<void> | undefined

  constructor(runtime: Runtime, stores: Stores, parts: Parts, listeners: readonly OpenListener[]) {
    this.#runtime = runtime
    this.#stores = stores
    this.#parts = parts
    this.core = parts.core
    this.listeners = listeners
  }

  port(protocol: ListenerName | `${ListenerName}-tls`): number {
    const listener = this.listeners.find(({ name }) => name === protocol)
    if (!listener) throw new Error(`The listener of ${protocol} is off`)
    return listener.address.port
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    const listeners = this.listeners.map(({ listener }) => listener)
    for (const listener of listeners) listener.leave()
    for (const stop of this.#parts.stop) stop()
    await Promise.all(listeners.map(listener => listener.close()))
    await this.#untilIdle(drainMs)
    this.#parts.transactions.close()
    this.#parts.groups.close()
    await this.#parts.cell.close()
    await this.#untilIdle(partMs)
    for (const listener of listeners) listener.destroy()
    await this.#stores.close()
  }

  /** Until no connection is left, or `ms` have passed. */
  #untilIdle(ms: number): Promise<void> {
    return new Promise(resolve => {
      const cancel = this.#runtime.clock.after(ms, resolve)
      void Promise.all(this.listeners.map(({ listener }) => listener.idle())).then(() => {
        cancel()
        resolve()
      })
    })
  }
}
