import { homeNamespace as namespace, type Broker } from '../../packages/broker/src/core/broker.ts'
import type { Client } from './client.ts'
import { CorePort } from './core-port.ts'
import type { RecordId } from './history.ts'
import { idOf, valueOf } from './records.ts'
import type { Shared, Workload } from './workload.ts'

const target = 'delayed-target'
const ticks = 'ticks'
const schedule = 'every-second'
const producer = 700
/** More than the clock of the broker can have been set back, and than any delay. */
const aheadMs = 4_000_000

interface Wait {
  readonly id: RecordId
  readonly name: string
  /** By which the broker knows it; undefined: it was not told, or nothing waits by that any more. */
  delayedId: string | undefined
  isConfirmed: boolean
  isRefused: boolean
  /** It is published then at the earliest, if the clock of the broker was not set since it had been so often. */
  notBeforeMs: number
  clockSets: number
  cancelled: 'no' | 'perhaps' | 'surely'
  seenMs: number
}

/**
 * Messages that are to be published later, some of which are cancelled or get another time, and a schedule.
 *
 * Holds: each that was confirmed is published once, and not before its time; one of which the cancellation was answered, never. A schedule has
 * published as often as it says.
 */
export class Delays implements Workload {
  readonly #shared: Shared
  readonly #port: CorePort
  readonly #waits: Wait[] = []
  readonly #schedules: boolean
  #checks = 0

  constructor(shared: Shared) {
    this.#shared = shared
    this.#port = new CorePort(shared)
    this.#schedules = shared.simulator.random.chance(0.5)
  }

  async create(): Promise<void> {
    for (const queue of [target, ticks])
      while ((await this.#port.declareQueue(queue, new Map())) !== 'done') await this.#shared.simulator.sleep(50)
    if (!this.#schedules) return
    const definition = {
      ...{ namespace, name: schedule, expression: '* * * * * *', timeZone: 'UTC', exchange: '', key: ticks },
      ...{ missed: 'once' as const, isEnabled: true, message: { value: Buffer.from('tick') } },
    }
    while ((await this.#port.asking(core => core.schedules.set(definition))) !== 'done')
      await this.#shared.simulator.sleep(50)
  }

  async run(): Promise<void> {
    await Promise.all([this.#publish(), this.#meddle(), this.#watch()])
  }

  async #publish(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    while (!this.#shared.isEnding) {
      await Promise.all(
        Array.from({ length: random.between(1, random.chance(0.1) ? 40 : 5) }, () => this.#publishOne()),
      )
      await simulator.sleep(random.float() * (this.#waits.length > 2_000 ? 4_000 : 100))
    }
  }

  async #publishOne(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const id = { producer, index: this.#waits.length }
    const wait: Wait = {
      ...{ id, name: `delayed message ${id.index}`, delayedId: undefined, isConfirmed: false, isRefused: false },
      ...{ notBeforeMs: -Infinity, clockSets: -1, cancelled: 'no', seenMs: Infinity },
    }
    this.#waits.push(wait)
    const delayMs = random.pick([random.between(1, 50), random.between(1, 3_000), random.between(1, 120_000)])
    const askedMs = simulator.nowMs
    const { clockSets } = this.#shared
    const later = { namespace, exchange: '', key: target, message: { value: valueOf(id) } }
    const outcome = await this.#port.inside<string>((core, done) => {
      core.delayed.publish(later, delayMs, ({ id: delayedId, error }) => {
        if (error === undefined) wait.delayedId = delayedId
        done(error ?? 'done')
      })
    })
    this.#shared.operations++
    if (outcome === 'done') {
      this.#shared.acknowledged++
      wait.isConfirmed = true
      wait.notBeforeMs = askedMs + delayMs
      wait.clockSets = clockSets
    } else if (outcome !== undefined) {
      wait.isRefused = true
      if (outcome !== 'storage-full' && outcome !== 'shutting-down')
        simulator.fail(`${wait.name} is refused: ${outcome}`)
    }
  }

  /** Cancels, and gives other times. */
  async #meddle(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    while (!this.#shared.isEnding) {
      await simulator.sleep(random.float() * 200)
      const wait = this.#waits[random.below(Math.max(1, this.#waits.length))]
      if (wait?.delayedId === undefined) continue
      if (random.chance(0.5)) await this.#cancel(wait, wait.delayedId)
      else await this.#reschedule(wait, wait.delayedId)
    }
  }

  async #cancel(wait: Wait, id: string): Promise<void> {
    const { cancelled } = wait
    if (cancelled === 'no') wait.cancelled = 'perhaps'
    const answer = await this.#answer(core => core.delayed.cancel(id).then(isCancelled => (isCancelled ? 'yes' : 'no')))
    if (answer === 'yes') {
      if (wait.seenMs < Infinity) this.#shared.simulator.fail(`${wait.name} was published, and is cancelled`)
      wait.cancelled = 'surely'
    } else if (answer === 'no' && cancelled === 'no') {
      // It has been published, or will be by another id. After a cancellation of which nobody heard it may be gone by that.
      wait.cancelled = 'no'
    }
  }

  async #reschedule(wait: Wait, id: string): Promise<void> {
    const { random } = this.#shared.simulator
    const inMs = random.between(-1000, 60_000)
    // Nobody knows by which id, and when.
    wait.delayedId = undefined
    wait.notBeforeMs = -Infinity
    const answer = await this.#answer(core =>
      core.delayed.reschedule(id, this.#shared.wallMs() + inMs).then(newId => newId ?? 'gone'),
    )
    if (answer !== undefined && answer !== 'gone' && !/^[a-z]+(-[a-z]+)+$/.test(answer)) wait.delayedId = answer
  }

  /** Undefined: nobody knows. */
  #answer(ask: (core: Broker) => Promise<string>): Promise<string | undefined> {
    return this.#port.inside<string>((core, done) => {
      // What rejects is what the broker refuses because it stops, or the disk is full.
      ask(core).then(done, () => done('storage-full'))
    })
  }

  /** Looks at what has been published. */
  async #watch(): Promise<void> {
    const { simulator } = this.#shared
    for (let from = 0; !this.#shared.isEnding;) {
      await simulator.sleep(simulator.random.float() * 100)
      const found = await this.#browse(target, from)
      for (const { id } of found) this.#seen(id)
      from = (found.at(-1)?.offset ?? from - 1) + 1
    }
  }

  #seen({ index }: RecordId): void {
    const { simulator, clockSets } = this.#shared
    const wait = this.#waits[index]
    if (!wait) return simulator.fail(`delayed message ${index} was never sent`)
    if (wait.seenMs < Infinity) return
    wait.seenMs = simulator.nowMs
    if (wait.cancelled === 'surely') simulator.fail(`${wait.name} was cancelled, and is published`)
    if (wait.isRefused) simulator.fail(`${wait.name} was refused, and is published`)
    const earlyMs = wait.notBeforeMs - simulator.nowMs
    // Times are whole milliseconds, and clocks differ by a few.
    if (earlyMs > 6 && wait.clockSets === clockSets)
      simulator.fail(`${wait.name} is published ${earlyMs.toFixed(0)} ms early`)
  }

  async #browse(queue: string, from: number): Promise<{ offset: number; id: RecordId }[]> {
    const found = await this.#port.inside<{ offset: number; id: RecordId }[]>((core, done) => {
      const browsed = core.queues.get(namespace, queue)?.browse(from, 500)
      // A disk that fails cannot be read.
      browsed?.then(
        list => done(list.map(({ offset, value }) => ({ offset, id: idOf(offset, value) }))),
        () => done([]),
      )
    })
    return Array.isArray(found) ? found : []
  }

  /** All times come; then each must have been published. */
  async check(_client: Client): Promise<void> {
    const { simulator } = this.#shared
    if (++this.#checks === 1) this.#shared.broker.jumpClock(aheadMs)
    for (const wait of this.#waits) wait.notBeforeMs = -Infinity
    for (let left: unknown = 1; left !== 0;) {
      left = await this.#port.inside<number>((core, done) => done(core.delayed.count))
      await simulator.sleep(100)
    }
    const places = await this.#all()
    for (const wait of this.#waits) {
      const count = places.get(wait.id.index) ?? 0
      if (count > 0) this.#seen(wait.id)
      if (count > 1) simulator.fail(`${wait.name} is published ${count} times`)
      if (count === 0 && wait.isConfirmed && wait.cancelled === 'no') simulator.fail(`${wait.name} is never published`)
    }
    if (this.#schedules) await this.#checkSchedule()
  }

  /** How often each message is in the queue. */
  async #all(): Promise<Map<number, number>> {
    const counts = new Map<number, number>()
    for (let from = 0; ;) {
      const found = await this.#browse(target, from)
      for (const { id } of found) counts.set(id.index, (counts.get(id.index) ?? 0) + 1)
      const last = found.at(-1)
      const end = await this.#port.inside<number>((core, done) =>
        done(core.queues.get(namespace, target)?.appendedCount ?? -1),
      )
      if (last) from = last.offset + 1
      if (end === from) return counts
    }
  }

  async #checkSchedule(): Promise<void> {
    const told = await this.#port.inside<string>((core, done) => {
      const published = core.schedules.get(namespace, schedule)?.publishedCount
      const queue = core.queues.get(namespace, ticks)
      const there = queue && queue.appendedCount + core.cell.unsettled(queue.definition.stream)
      // What is decided of both is one block.
      done(published === there ? 'done' : `${published} times, and ${there} are there`)
    })
    if (told !== undefined && told !== 'done')
      this.#shared.simulator.fail(`the schedule says that it has published ${told}`)
  }
}
