import { homeNamespace as namespace } from '../../packages/broker/src/core/broker.ts'
import type { Queue } from '../../packages/broker/src/core/queues/queue.ts'
import type { Client } from './client.ts'
import { CorePort } from './core-port.ts'
import type { RecordId } from './history.ts'
import {
  ConsumerHold,
  keyOf,
  nameOf,
  routedTopic,
  type Publish,
  type QueueHistory,
  type QueueWorld,
} from './queue-history.ts'
import { idOf } from './records.ts'
import { fetchOnce, type Partition } from './workload.ts'
import { PartitionHistory } from './history.ts'

/** Compares what each queue holds with all that was told, and the second time takes it out. */
export async function checkRoutes(routes: QueueWorld, client: Client, drains: boolean): Promise<void> {
  const port = new CorePort(routes.shared)
  // What is still on its way arrives, and connections that are gone are seen to be.
  await routes.shared.simulator.sleep(5_000)
  routes.settleLost()
  const found = new Map<string, Publish[]>()
  for (const queue of routes.queues.values()) found.set(queue.name, await census(routes, port, queue))
  found.set(`topic/${routedTopic}`, await censusOfTopic(routes, client))
  for (const queue of routes.queues.values()) compareQueue(routes, queue, found.get(queue.name) ?? [])
  comparePublishes(routes, found)
  if (drains) for (const queue of routes.queues.values()) await drain(routes, port, queue, found.get(queue.name) ?? [])
}

/** What waits in a queue, in its order. */
async function census(routes: QueueWorld, port: CorePort, { name }: QueueHistory): Promise<Publish[]> {
  const { simulator } = routes.shared
  for (;;) {
    const found = await port.inside<RecordId[]>((core, done) => {
      const queue = core.queues.get(namespace, name)
      if (!queue) return done([])
      if (queue.inFlightCount > 0) return
      checkCounts(routes, queue)
      // A disk that fails cannot be read; then it is tried again.
      browse(queue).then(done, () => {})
    })
    if (!Array.isArray(found)) continue
    if (new Set(found.map(keyOf)).size < found.length) simulator.fail(`queue ${name} holds a message twice`)
    return found.map(id => seen(routes, name, id))
  }
}

/** All that waits in a queue, in its order. */
export async function browse(queue: Queue): Promise<RecordId[]> {
  const ids: RecordId[] = []
  for (let from = 0; ;) {
    const messages = await queue.browse(from, 500)
    for (const { offset, value } of messages) ids.push(idOf(offset, value))
    const last = messages.at(-1)
    if (!last) return ids
    from = last.offset + 1
  }
}

/** Conservation: what was ever appended waits, is held, or was settled, for one reason. */
export function checkCounts(routes: QueueWorld, queue: Queue): void {
  const { cursor, readyCount, inFlightCount, definition, appendedCount: end } = queue
  const { ackedCount, droppedCount } = cursor
  if (end === readyCount + inFlightCount + ackedCount + droppedCount) return
  routes.shared.simulator.fail(
    `queue ${definition.name}: ${end} messages were published; ${readyCount} wait, ${inFlightCount} are held, ` +
      `${ackedCount} were acknowledged, ${droppedCount} dropped`,
  )
}

function seen(routes: QueueWorld, place: string, id: RecordId): Publish {
  const publish = routes.publishes.get(keyOf(id))
  if (!publish) {
    const message = `${place} holds ${nameOf({ id })}, which nobody has published`
    routes.shared.simulator.fail(message)
    throw new Error(message)
  }
  publish.seenIn.add(place)
  return publish
}

async function censusOfTopic(routes: QueueWorld, client: Client): Promise<Publish[]> {
  const found: Publish[] = []
  for (const index of [0, 1]) {
    const history = new PartitionHistory(routes.shared.simulator, `${routedTopic}/${index}`)
    const partition: Partition = { topic: routedTopic, topicId: routes.topicId, index, history }
    for (let position = 0, end = Infinity; position < end;) {
      const fetched = await fetchOnce(client, partition, position, { maxWaitMs: 0, maxBytes: 1_000_000 })
      if (fetched?.errorCode !== 0) continue
      end = fetched.end
      for (const { offset, id } of fetched.records) {
        if (offset < position) continue
        found.push(seen(routes, `topic/${routedTopic}`, id))
        position = offset + 1
      }
    }
  }
  return found
}

function compareQueue({ shared: { simulator } }: QueueWorld, queue: QueueHistory, found: readonly Publish[]): void {
  for (const publish of found) {
    const { settledMs } = queue.copyOf(publish)
    if (settledMs < Infinity) simulator.fail(`${nameOf(publish)} was settled, and is in ${queue.name}`)
  }
  const { order } = queue.traits
  if (order === 'none') return
  const latest = new Map<number, Publish>()
  for (const publish of found) {
    const level = order === 'priorities' ? publish.priority : 0
    const before = latest.get(level)
    if (before && publish.answeredMs < before.askedMs) {
      const detail = `confirmed at ${publish.answeredMs.toFixed(0)}, that one was sent at ${before.askedMs.toFixed(0)}`
      simulator.fail(`${nameOf(publish)} is in ${queue.name} behind ${nameOf(before)}: ${detail}`)
    }
    if (!before || publish.askedMs > before.askedMs) latest.set(level, publish)
  }
}

type Places = ReadonlyMap<string, ReadonlySet<Publish>>

/** A message that was confirmed is wherever it led; one of which nobody knows, everywhere or nowhere. */
function comparePublishes(routes: QueueWorld, found: ReadonlyMap<string, readonly Publish[]>): void {
  const { simulator } = routes.shared
  const here: Places = new Map(Array.from(found, ([place, list]) => [place, new Set(list)]))
  for (const publish of routes.publishes.values()) {
    const { certain, possible, isTaken, seenIn } = publish
    const what = `${nameOf(publish)} to ${publish.exchange} by ${publish.key}`
    for (const place of seenIn) {
      const source = routes.queues.get(place)?.traits.isHeirOf
      if (possible && !possible.has(source?.name ?? place)) simulator.fail(`${what} was in ${place}, where nothing led`)
      if (source) compareHeir(routes, source, publish, here)
    }
    const witness = [...seenIn][0]
    if (isTaken !== true && (isTaken === false || witness === undefined)) continue
    for (const place of certain)
      if (isLost(routes.queues.get(place), place, publish, here))
        simulator.fail(`${what} is not in ${place}; ${isTaken ? 'it was confirmed' : `it was in ${witness}`}`)
  }
}

/** What a queue has dropped, it does not have any more, and it was not acknowledged there. */
function compareHeir({ shared }: QueueWorld, source: QueueHistory, publish: Publish, here: Places): void {
  const what = `${nameOf(publish)} is a dead letter of ${source.name}, and`
  if (here.get(source.name)?.has(publish)) shared.simulator.fail(`${what} still there`)
  const { ackedMs = Infinity } = source.copies.get(keyOf(publish.id)) ?? {}
  if (ackedMs < Infinity) shared.simulator.fail(`${what} was acknowledged at ${ackedMs.toFixed(0)}`)
}

/** Whether it was in the queue and is nowhere now, and nobody can have taken it. */
function isLost(queue: QueueHistory | undefined, place: string, publish: Publish, here: Places): boolean {
  if (here.get(place)?.has(publish)) return false
  if (!queue) return true
  // One that is made anew may have been another one.
  if (!queue.traits.isLasting) return false
  if (queue.traits.refuses && publish.isTaken !== true) return false
  const copy = queue.copies.get(keyOf(publish.id))
  if (copy?.mayBeAcked) return false
  const isDropped = queue.traits.drops || copy?.mayBeGone === true || publish.expires
  if (!isDropped) return true
  const heir = queue.deadLetters
  if (!heir || here.get(heir.name)?.has(publish)) return false
  const inherited = heir.copies.get(keyOf(publish.id))
  return !inherited?.mayBeGone
}

/** All that is left, by one consumer: the order must be that of the queue. */
async function drain(
  routes: QueueWorld,
  port: CorePort,
  queue: QueueHistory,
  found: readonly Publish[],
): Promise<void> {
  const { simulator } = routes.shared
  const left = [...found]
  const hold = new ConsumerHold()
  const tags: number[] = []
  let latest: Publish | undefined
  const consuming = await port.consume(queue.name, 10, {
    deliver: delivery => {
      const copy = routes.take(queue, hold, delivery)
      tags.push(delivery.tag)
      if (!copy) return
      const problem = outOfOrder(queue, left, latest, copy.publish)
      if (problem) simulator.fail(`${queue.name}: ${nameOf(copy.publish)} comes ${problem}`)
      latest = copy.publish
    },
  })
  if (typeof consuming !== 'object') {
    if (queue.traits.isLasting) simulator.fail(`queue ${queue.name} cannot be consumed: ${consuming}`)
    return
  }
  for (let idleMs = 0; idleMs < 2_000 && (left.length > 0 || tags.length > 0);) {
    if (tags.length === 0) {
      await simulator.sleep(20)
      idleMs += 20
      continue
    }
    idleMs = 0
    if ((await consuming.settle(tags.splice(0), 'ack', true)) !== 'done')
      simulator.fail(`queue ${queue.name} cannot be emptied`)
    queue.used(hold, simulator.nowMs)
  }
  if (left.some(({ expires }) => !expires) && !queue.traits.drops)
    simulator.fail(`queue ${queue.name} does not give out ${left.length} messages`)
  const wrong = await port.inside<string>((core, done) => {
    const { readyCount = 0, inFlightCount = 0 } = core.queues.get(namespace, queue.name) ?? {}
    done(readyCount + inFlightCount === 0 ? 'done' : `${readyCount} wait, ${inFlightCount} are held`)
  })
  // What others drop meanwhile comes here.
  if (wrong !== 'done' && !queue.traits.isHeirOf) simulator.fail(`queue ${queue.name} was emptied, and ${wrong}`)
  await consuming.cancel()
}

/** Takes it out of what is left. */
function outOfOrder(
  { traits: { order, drops, isHeirOf } }: QueueHistory,
  left: Publish[],
  latest: Publish | undefined,
  publish: Publish,
): string | undefined {
  if (order === 'published') {
    // Meanwhile some may have been dropped because of their age.
    while (left[0] && left[0] !== publish && (drops || left[0].expires)) left.shift()
    const next = left.shift()
    return publish === next ? undefined : `before ${next ? nameOf(next) : 'nothing'}`
  }
  const at = left.indexOf(publish)
  if (at >= 0) left.splice(at, 1)
  // What is dropped meanwhile comes here.
  else if (!isHeirOf) return 'and was not there'
  const isLate = order === 'priorities' && latest && latest.priority < publish.priority
  return isLate ? `with priority ${publish.priority} after one of priority ${latest.priority}` : undefined
}
