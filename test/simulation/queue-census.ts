import { homeNamespace as namespace } from '../../packages/broker/src/core/broker.ts'
import type { Queue } from '../../packages/broker/src/core/queues/queue.ts'
import type { Client } from './client.ts'
import { CorePort } from './core-port.ts'
import type { RecordId } from './history.ts'
import { ConsumerHold, keyOf, nameOf, type Publish, type QueueHistory } from './queue-history.ts'
import { idOf } from './records.ts'
import { routedTopic, type Routes } from './routes.ts'
import { fetchOnce, type Partition } from './workload.ts'
import { PartitionHistory } from './history.ts'

/** Compares what each queue holds with all that was told, and the second time takes it out. */
export async function checkRoutes(routes: Routes, client: Client, drains: boolean): Promise<void> {
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
async function census(routes: Routes, port: CorePort, { name }: QueueHistory): Promise<Publish[]> {
  const { simulator } = routes.shared
  for (;;) {
    const found = await port.inside<RecordId[]>((core, done) => {
      const queue = core.queues.get(namespace, name)
      if (!queue) return done([])
      if (queue.inFlightCount > 0) return
      checkCounts(routes, queue)
      void browse(queue).then(done)
    })
    if (!Array.isArray(found)) continue
    if (new Set(found.map(keyOf)).size < found.length) simulator.fail(`queue ${name} holds a message twice`)
    return found.map(id => seen(routes, name, id))
  }
}

async function browse(queue: Queue): Promise<RecordId[]> {
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
export function checkCounts(routes: Routes, queue: Queue): void {
  const { cursor, readyCount, inFlightCount, definition } = queue
  const end = routes.shared.running()?.core.cell.bounds(definition.stream)?.endOffset
  const { ackedCount, droppedCount } = cursor
  if (end === undefined || end === readyCount + inFlightCount + ackedCount + droppedCount) return
  routes.shared.simulator.fail(
    `queue ${definition.name}: ${end} messages were published; ${readyCount} wait, ${inFlightCount} are held, ` +
      `${ackedCount} were acknowledged, ${droppedCount} dropped`,
  )
}

function seen(routes: Routes, place: string, id: RecordId): Publish {
  const publish = routes.publishes.get(keyOf(id))
  if (!publish) {
    const message = `${place} holds ${nameOf({ id })}, which nobody has published`
    routes.shared.simulator.fail(message)
    throw new Error(message)
  }
  publish.seenIn.add(place)
  return publish
}

async function censusOfTopic(routes: Routes, client: Client): Promise<Publish[]> {
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

function compareQueue({ shared: { simulator } }: Routes, queue: QueueHistory, found: readonly Publish[]): void {
  const here = new Set(found)
  for (const publish of found) {
    const { settledMs } = queue.copyOf(publish)
    if (settledMs < Infinity) simulator.fail(`${nameOf(publish)} was settled, and is in ${queue.name}`)
  }
  for (const { publish, settledMs, mayBeGone } of queue.copies.values()) {
    if (settledMs === Infinity && !mayBeGone && !queue.traits.drops && !here.has(publish))
      simulator.fail(`${nameOf(publish)} was delivered from ${queue.name}, not settled, and is not there`)
  }
  if (!queue.traits.isOrdered) return
  let latest: Publish | undefined
  for (const publish of found) {
    if (latest && publish.answeredMs < latest.askedMs) {
      const detail = `confirmed at ${publish.answeredMs.toFixed(0)}, that one was sent at ${latest.askedMs.toFixed(0)}`
      simulator.fail(`${nameOf(publish)} is in ${queue.name} behind ${nameOf(latest)}: ${detail}`)
    }
    if (!latest || publish.askedMs > latest.askedMs) latest = publish
  }
}

/** A message that was confirmed is wherever it led; one of which nobody knows, everywhere or nowhere. */
function comparePublishes(routes: Routes, found: ReadonlyMap<string, readonly Publish[]>): void {
  const { simulator } = routes.shared
  const here = new Map(Array.from(found, ([place, list]) => [place, new Set(list)]))
  for (const publish of routes.publishes.values()) {
    const { certain, possible, isTaken, seenIn } = publish
    const what = `${nameOf(publish)} to ${publish.exchange} by ${publish.key}`
    for (const place of seenIn)
      if (possible && !possible.has(place)) simulator.fail(`${what} was in ${place}, where nothing led`)
    const witness = [...seenIn][0]
    if (isTaken !== true && (isTaken === false || witness === undefined)) continue
    for (const place of certain) {
      const queue = routes.queues.get(place)
      const copy = queue?.copies.get(keyOf(publish.id))
      if (
        here.get(place)?.has(publish) ||
        queue?.traits.drops ||
        copy?.mayBeGone ||
        (copy?.settledMs ?? Infinity) < Infinity
      )
        continue
      // A queue that is made anew may have been another one.
      if (queue && !queue.traits.isLasting) continue
      simulator.fail(`${what} is not in ${place}; ${isTaken ? 'it was confirmed' : `it was in ${witness}`}`)
    }
  }
}

/** All that is left, by one consumer: the order must be that of the queue. */
async function drain(routes: Routes, port: CorePort, queue: QueueHistory, found: readonly Publish[]): Promise<void> {
  const { simulator } = routes.shared
  const left = [...found]
  const hold = new ConsumerHold()
  const tags: number[] = []
  const consuming = await port.consume(queue.name, 10, {
    deliver: delivery => {
      const copy = routes.take(queue, hold, delivery)
      tags.push(delivery.tag)
      // Meanwhile some may have been dropped because of their age.
      while (queue.traits.drops && left.length > 0 && left[0] !== copy?.publish) left.shift()
      const next = left.shift()
      if (copy && copy.publish !== next)
        simulator.fail(`${queue.name}: ${nameOf(copy.publish)} comes before ${next ? nameOf(next) : 'nothing'}`)
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
  if (left.length > 0 && !queue.traits.drops)
    simulator.fail(`queue ${queue.name} does not give out ${left.length} messages`)
  const wrong = await port.inside<string>((core, done) => {
    const { readyCount = 0, inFlightCount = 0 } = core.queues.get(namespace, queue.name) ?? {}
    done(readyCount + inFlightCount === 0 ? 'done' : `${readyCount} wait, ${inFlightCount} are held`)
  })
  if (wrong !== 'done') simulator.fail(`queue ${queue.name} was emptied, and ${wrong}`)
  await consuming.cancel()
}
