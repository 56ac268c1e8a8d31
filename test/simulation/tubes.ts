import type { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'
import { checkTubes, type TubeWorld } from './tube-census.ts'
import { TubeClient, type Asked } from './tube-client.ts'
import { Job, TubeHistory, TubeHold } from './tube-history.ts'
import type { Client } from './client.ts'
import type { Shared, Workload } from './workload.ts'

const tubes = ['mail', 'images']
const priorities = [0, 5, 5, 5, 1024, 4_000_000_000]
const jobsMax = 3_000

/** What is said when there is no room, or no time any more. */
const passing = ['OUT_OF_MEMORY', 'DRAINING']

/** Producers, workers and meddlers at two tubes. What they may rely on is said in `TubeHistory`. */
export class Tubes implements Workload, TubeWorld {
  readonly shared: Shared
  readonly simulator: Simulator
  readonly history: TubeHistory
  #checks = 0

  constructor(shared: Shared) {
    this.shared = shared
    this.simulator = shared.simulator
    this.history = new TubeHistory(shared.simulator)
  }

  async run(): Promise<void> {
    const { random } = this.simulator
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 3); number > 0; number--) tasks.push(this.#produce(number))
    for (let number = random.between(1, 4); number > 0; number--) tasks.push(new TubeWorker(this, number).run())
    if (random.chance(0.7)) tasks.push(this.#meddle())
    await Promise.all(tasks)
  }

  /** Compares all that is there with all that was told, and the second time works on what is left. */
  check(_client: Client): Promise<void> {
    return checkTubes(this, ++this.#checks > 1)
  }

  /** Refusals that may come are those of a full disk and of a broker that stops. */
  checkRefusal(line: string, what: string): void {
    const isFull = line === 'OUT_OF_MEMORY' && !this.shared.mayBeFull() && !this.shared.mayFail()
    if (isFull || !passing.includes(line)) this.simulator.fail(`${what} is answered with ${line}`)
  }

  async #produce(number: number): Promise<void> {
    const { simulator, shared } = this
    const { random } = simulator
    const tube = random.pick(tubes)
    const client = new TubeClient(simulator, `tube-producer-${number}`, [`use ${tube}`])
    for (let index = 0; !shared.isEnding; index++) {
      const window = random.chance(0.3) ? random.between(2, 20) : 1
      const puts = Array.from({ length: window }, () => this.#put(client, tube, `${number}-${index++}`))
      await Promise.all(puts)
      // Nobody has to wait for the end of a backlog that nobody works on.
      const isMuch = this.history.byLabel.size > jobsMax
      await simulator.sleep(random.float() * (isMuch ? 5000 : random.chance(0.1) ? 300 : 30))
    }
    client.drop()
  }

  async #put(client: TubeClient, tube: string, label: string): Promise<void> {
    const { simulator, history, shared } = this
    const { random } = simulator
    const delay = random.chance(0.15) ? random.between(1, 5) : 0
    const ttr = random.between(1, 4)
    const job = new Job(label, tube, random.pick(priorities), ttr * 1000)
    history.add(job)
    const body = bodyOf(label)
    const floor = history.idMax
    const { clockJumps } = shared
    const isAlone = job.begin()
    const answer = await client.ask(`put ${job.priority} ${delay} ${ttr} ${body.length}`, body)
    shared.operations++
    if (answer === undefined) return
    const [, id] = /^INSERTED (\d+)$/.exec(answer.line) ?? []
    if (id === undefined) {
      this.checkRefusal(answer.line, 'put')
      job.deletedMs = -Infinity
      return
    }
    history.inserted(job, Number(id), floor)
    shared.acknowledged++
    // A worker may have been faster than this answer, and a kick, too.
    if (!isAlone()) return
    job.become(delay > 0 ? 'delayed' : 'ready', answer.nowMs)
    job.notBeforeMs = answer.askedMs + 1000 * delay
    job.clockJumps = clockJumps
  }

  /** Kicks, buries the dead, looks, and deletes what others wait for. */
  async #meddle(): Promise<void> {
    const { simulator, shared } = this
    const { random } = simulator
    const client = new TubeClient(simulator, 'tube-meddler')
    while (!shared.isEnding) {
      await simulator.sleep(random.float() * 400)
      const job = random.chance(0.5) ? this.#someJob() : undefined
      if (job) await this.#meddleWith(client, job)
      else if (random.chance(0.5)) await this.#kick(client, random.pick(tubes), random.between(1, 10))
      else if (random.chance(0.3)) await client.ask(`pause-tube ${random.pick(tubes)} ${random.between(0, 2)}`)
      else await client.ask(random.pick(['list-tubes', `stats-tube ${random.pick(tubes)}`, 'peek-buried']))
    }
    client.drop()
  }

  #someJob(): Job | undefined {
    const { random } = this.simulator
    for (let attempt = 0; attempt < 10; attempt++) {
      const job = this.history.byId.get(random.below(this.history.idMax + 1))
      if (job && job.deletedMs === Infinity) return job
    }
    return undefined
  }

  async #meddleWith(client: TubeClient, job: Job): Promise<void> {
    const { random } = this.simulator
    const { id } = job
    if (random.chance(0.3)) {
      const answer = await client.ask(`peek ${id}`)
      if (answer) this.checkFound(job, answer)
    } else if (random.chance(0.5)) {
      job.counts.kicks.most++
      const isAlone = job.begin()
      const answer = await client.ask(`kick-job ${id}`)
      if (!answer) return
      const isReady = isAlone() && answer.line === 'KICKED'
      if (answer.line === 'KICKED') job.counts.kicks.least++
      else if (answer.line !== 'NOT_FOUND') this.checkRefusal(answer.line, 'kick-job')
      if (isReady) job.become('ready', answer.nowMs)
    } else {
      const wasPerhaps = job.isPerhapsDeleted
      job.isPerhapsDeleted = true
      const isAlone = job.begin()
      const answer = await client.ask(`delete ${id}`)
      if (!answer) return
      isAlone()
      job.isPerhapsDeleted = wasPerhaps
      if (answer.line === 'DELETED') this.history.deleted(job, undefined, answer)
      else if (answer.line !== 'NOT_FOUND') this.checkRefusal(answer.line, 'delete')
    }
  }

  async #kick(client: TubeClient, tube: string, count: number): Promise<void> {
    if ((await client.ask(`use ${tube}`)) === undefined) return
    const kick = this.history.kicking(tube)
    const answer = await client.ask(`kick ${count}`)
    this.history.kickEnded(kick, answer === undefined, this.simulator.nowMs)
    if (answer && !answer.line.startsWith('KICKED ')) this.checkRefusal(answer.line, 'kick')
  }

  /** What a look at a job shows. */
  checkFound(job: Job, { line, body, askedMs }: Asked): void {
    const isFound = line.startsWith('FOUND ')
    if (!isFound && line !== 'NOT_FOUND') return this.checkRefusal(line, 'peek')
    if (isFound && this.labelOf(body) !== job.label) this.simulator.fail(`${job.name} is ${String(body)}`)
    if (isFound && job.deletedMs < askedMs) this.simulator.fail(`${job.name} was deleted, and is there`)
    if (!isFound && job.deletedMs === Infinity && !job.isPerhapsDeleted) this.simulator.fail(`${job.name} is lost`)
  }

  /** The label in a body, every byte of which must be as it was sent. */
  labelOf(body: Buffer | undefined): string {
    const [label = ''] = String(body).split(' ', 1)
    if (!body?.equals(bodyOf(label))) this.simulator.fail(`the body of ${label} is altered`)
    return label
  }
}

/** The label, and filler that follows from it. */
function bodyOf(label: string): Buffer {
  const [producer = 0, index = 0] = label.split('-').map(Number)
  const mixed = Math.imul(producer * 7919 + index + 1, 0x9e3779b1) >>> 0
  return Buffer.from(
    `${label} ${String.fromCharCode(97 + (mixed % 26)).repeat(mixed % (index % 16 === 0 ? 3000 : 60))}`,
  )
}

/** Reserves jobs, holds a few at a time, and says what becomes of them. */
class TubeWorker {
  readonly #tubes: Tubes
  readonly #client: TubeClient
  #session = new TubeHold()

  constructor(all: Tubes, number: number) {
    const { random } = all.simulator
    const watched = random.chance(0.5) ? tubes : [random.pick(tubes)]
    const greeting = [...watched.map(tube => `watch ${tube}`), 'ignore default']
    this.#tubes = all
    this.#client = new TubeClient(all.simulator, `tube-worker-${number}`, greeting, () => {
      all.history.over(this.#session)
      this.#session = new TubeHold()
    })
  }

  async run(): Promise<void> {
    const { simulator, shared } = this.#tubes
    const { random } = simulator
    while (!shared.isEnding) {
      const held = [...this.#session.jobs]
      if (held.length === 0 || (held.length < 5 && random.chance(0.3))) await this.#reserve()
      else await this.#settle(random.pick(held))
      if (random.chance(0.01)) this.#client.drop()
      if (random.chance(0.3)) await simulator.sleep(random.float() * (random.chance(0.02) ? 4000 : 40))
    }
    this.#client.drop()
  }

  async #reserve(): Promise<void> {
    const { simulator, history, shared } = this.#tubes
    const { random } = simulator
    const session = this.#session
    const wanted = random.chance(0.05) ? random.below(history.idMax + 1) : undefined
    const request = history.reserving()
    // Whatever becomes of the answer, it may not be buried or delayed any more.
    const ended = wanted === undefined ? undefined : history.byId.get(wanted)?.begin()
    const line = wanted === undefined ? `reserve-with-timeout ${random.between(0, 2)}` : `reserve-job ${wanted}`
    const answer = await this.#client.ask(line)
    if (answer) ended?.()
    const [, id] = /^RESERVED (\d+) /.exec(answer?.line ?? '') ?? []
    if (answer && id !== undefined) {
      const job = history.jobOf(this.#tubes.labelOf(answer.body))
      history.saw(job, Number(id))
      history.used(session, answer)
      history.reserved(session, job, answer, wanted !== undefined, shared.clockJumps)
      shared.operations++
    } else if (answer && !['TIMED_OUT', 'DEADLINE_SOON', 'NOT_FOUND'].includes(answer.line)) {
      this.#tubes.checkRefusal(answer.line, 'reserve')
    }
    history.reserveEnded(request, answer === undefined, simulator.nowMs)
  }

  async #settle(job: Job): Promise<void> {
    const { random } = this.#tubes.simulator
    const { history, shared } = this.#tubes
    const session = this.#session
    const what = random.pick(['delete', 'delete', 'delete', 'release', 'bury', 'touch'] as const)
    if (what === 'touch') return this.#touch(session, job)
    const priority = random.pick(priorities)
    const delay = what === 'release' && random.chance(0.3) ? random.between(1, 3) : 0
    const { clockJumps } = shared
    const counts = what === 'delete' ? undefined : job.counts[what === 'bury' ? 'buries' : 'releases']
    if (counts) {
      counts.most++
      job.priority = undefined
    } else job.isPerhapsDeleted = true
    const heldUntilMs = history.settle(session, job)
    const isAlone = job.begin()
    const numbers = { delete: '', bury: ` ${priority}`, release: ` ${priority} ${delay}` }[what]
    const answer = await this.#client.ask(`${what} ${job.id}${numbers}`)
    if (!answer) return
    const isSure = isAlone()
    history.used(session, answer)
    const isDone = ['DELETED', 'RELEASED', 'BURIED'].includes(answer.line)
    if (!counts) job.isPerhapsDeleted = false
    if (answer.line === 'NOT_FOUND') return history.notSettled(session, job, heldUntilMs, answer)
    if (!isDone) return this.#tubes.checkRefusal(answer.line, what)
    shared.acknowledged++
    if (!counts) return history.deleted(job, session, answer)
    counts.least++
    if (!isSure) return
    job.priority = priority
    job.prioritySinceMs = answer.nowMs
    job.become(what === 'bury' ? 'buried' : delay > 0 ? 'delayed' : 'ready', answer.nowMs)
    job.notBeforeMs = answer.askedMs + 1000 * delay
    job.clockJumps = clockJumps
  }

  async #touch(session: TubeHold, job: Job): Promise<void> {
    const { history } = this.#tubes
    const answer = await this.#client.ask(`touch ${job.id}`)
    if (!answer) return
    history.used(session, answer)
    const isHeld = job.holder === session
    if (answer.line === 'TOUCHED' && isHeld) job.heldUntilMs = Math.max(job.heldUntilMs, answer.askedMs + job.ttrMs)
    else if (answer.line === 'NOT_FOUND') history.notSettled(session, job, history.settle(session, job), answer)
    else if (answer.line !== 'TOUCHED') this.#tubes.checkRefusal(answer.line, 'touch')
  }
}
