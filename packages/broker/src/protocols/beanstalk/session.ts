import type { Broker } from '../../core/broker.ts'
import { homeNamespace } from '../../core/broker.ts'
import { unlessFenced } from '../../core/refusals.ts'
import type { FoundMessage } from '../../core/work/lane.ts'
import type { Held, PutError, Spot, WorkQueue } from '../../core/work/contract.ts'
import type { Worker } from '../../core/work/worker.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import { answerOf, answerToError } from './errors.ts'
import type { Packet } from './framing.ts'
import { jobRecord, numbersOf } from './mapping.ts'
import {
  answers,
  crlf,
  encode,
  encodeLine,
  type AnswerName,
  type Command,
  type CommandName,
  type TextLine,
} from './messages.ts'
import { Server } from './server.ts'
import { jobStatistics, serverStatistics, tubesOf, tubeStatistics, yamlList } from './statistics.ts'

const defaultTube = 'default'
/** The last part of a job's time: whoever asks for another job in it is told. [protocol.txt, DEADLINE_SOON] */
const safetyMarginMs = 1000
/** Timers look again after this. */
const waitMsMax = 3_600_000

/** The place of an answer in the order of commands. */
interface Slot {
  bytes: readonly Buffer[] | undefined
}

/**
 * One connection.
 *
 * Commands are carried out in their order, and answered in it. One that has to wait (for a job, for the disk to be read) holds up those
 * behind it; one that is decided and only has to become durable does not.
 *
 * Invariant: `#slots` are the commands begun and not yet answered; `#later` is empty unless `#isBlocked`.
 */
export class BeanstalkSession implements Session<Packet> {
  readonly #broker: Broker
  readonly #outbox: Outbox
  readonly #context: SessionContext
  readonly #server: Server
  readonly #worker: Worker
  #used: WorkQueue
  readonly #slots: Slot[] = []
  #later: Packet[] = []
  #isBlocked = false
  #isClosed = false
  #isProducer = false
  #isWorker = false
  #cancelWait: (() => void) | undefined
  feeds = false
  readonly muted = false

  constructor(broker: Broker, outbox: Outbox, context: SessionContext) {
    this.#broker = broker
    this.#outbox = outbox
    this.#context = context
    this.#server = Server.of(broker, context.random, context.clock.monotonicMs())
    this.#server.connections++
    this.#server.connectionsEver++
    this.#worker = broker.work.worker({
      name: `${context.remote.host}:${context.remote.port}`,
      leaseMs: envelope => 1000 * numbersOf(envelope).ttrSeconds,
      expired: () => this.#server.timeouts++,
    })
    this.#used = this.#tube(defaultTube)
    this.#used.users++
    this.#worker.watch(this.#used)
  }

  get inFlight(): number {
    return this.#slots.length + this.#later.length
  }

  receive(packet: Packet): void {
    if (this.#isClosed) return
    if (this.#isBlocked) this.#later.push(kept(packet))
    else this.#begin(packet)
  }

  closed(): void {
    this.#isClosed = true
    this.#later = []
    this.#stopWaiting()
    this.#worker.close()
    this.#leaveTube()
    const server = this.#server
    server.connections--
    if (this.#isProducer) server.producers--
    if (this.#isWorker) server.workers--
  }

  #begin(packet: Packet): void {
    const slot: Slot = { bytes: undefined }
    this.#slots.push(slot)
    if ('problem' in packet) return this.#answer(slot, packet.problem)
    if (packet.name !== 'kick-job' && packet.name !== 'reserve-job') this.#server.count(packet.name)
    try {
      handlers[packet.name](this.#parts, packet, slot)
    } catch (error) {
      this.#answer(slot, answerToError(error))
    }
  }

  /** What the handlers below work with. */
  readonly #parts: SessionParts = {
    put: (command: Command, slot: Slot) => this.#put(command, slot),
    use: (name: string) => this.#use(name),
    usedTube: () => this.#used,
    worker: () => this.#worker,
    broker: () => this.#broker,
    statistics: () => this.#statistics(),
    watch: (command: Command, slot: Slot) => this.#watch(command, slot),
    ignore: (command: Command, slot: Slot) => this.#ignore(command, slot),
    reserve: (timeoutMs: number | undefined, slot: Slot) => this.#reserve(timeoutMs, slot),
    reserveJob: (id: number, slot: Slot) => this.#reserveJob(id, slot),
    find: (id: number) => this.#find(id),
    found: (spot: Spot | undefined, slot: Slot) => this.#found(spot, slot),
    blocked: (slot: Slot, run: (done: (name: AnswerName, line?: Partial<TextLine>) => void) => void) =>
      this.#blocked(slot, run),
    statsJob: (id: number, slot: Slot) => this.#statsJob(id, slot),
    tube: (name: string) => this.#broker.work.get(homeNamespace, name),
    tell: (slot: Slot, name: AnswerName, line?: Partial<TextLine>) => this.#whenDurable(slot, name, line),
    quit: () => this.#quit(),
  }

  #tube(name: string): WorkQueue {
    return this.#broker.work.open(homeNamespace, name)
  }

  #use(name: string): void {
    const tube = this.#tube(name)
    tube.users++
    this.#leaveTube()
    this.#used = tube
  }

  #leaveTube(): void {
    this.#used.users--
    this.#broker.work.sweep(this.#used)
  }

  #put({ numbers, body = noBytes }: Command, slot: Slot): void {
    const [priority = 0, delaySeconds = 0, ttr = 0] = numbers
    if (!this.#isProducer) {
      this.#isProducer = this.feeds = true
      this.#server.producers++
    }
    const record = jobRecord(body, { priority, delaySeconds, ttrSeconds: Math.max(1, ttr) })
    this.#used.put(record, { priority, delayMs: 1000 * delaySeconds }, result => {
      if (typeof result !== 'number') return this.#answer(slot, answerOfPut(result))
      this.#server.jobs++
      this.#answer(slot, 'INSERTED', { numbers: [result] })
    })
  }

  #watch({ tube }: Command, slot: Slot): void {
    const worker = this.#worker
    const queue = this.#tube(tube)
    if (worker.queues.size >= this.#broker.limits.queueWatchesMax && !worker.queues.has(queue)) {
      this.#broker.work.sweep(queue)
      return this.#answer(slot, 'OUT_OF_MEMORY')
    }
    worker.watch(queue)
    this.#answer(slot, 'WATCHING', { numbers: [worker.queues.size] })
  }

  #ignore({ tube }: Command, slot: Slot): void {
    const worker = this.#worker
    const queue = [...worker.queues].find(({ name }) => name === tube)
    if (queue && worker.queues.size === 1) return this.#answer(slot, 'NOT_IGNORED')
    if (queue) worker.ignore(queue)
    this.#answer(slot, 'WATCHING', { numbers: [worker.queues.size] })
  }

  #beWorker(): void {
    if (!this.#isWorker) this.#server.workers++
    this.#isWorker = true
  }

  #reserve(timeoutMs: number | undefined, slot: Slot): void {
    this.#beWorker()
    const worker = this.#worker
    if (worker.timeLeftMs <= safetyMarginMs && !worker.hasReady) return this.#answer(slot, 'DEADLINE_SOON')
    let isOver = false
    const end = (answer: AnswerName | readonly Buffer[]): void => {
      isOver = true
      this.#stopWaiting()
      this.#answer(slot, answer)
      if (this.#isBlocked) this.#goOn()
    }
    worker.reserve((held, value) => end([encode(answers.RESERVED, [held.spot.number, value.length], '', value)]))
    if (isOver) return
    this.#isBlocked = true
    this.#server.waiting++
    this.#waitUntil(this.#context.clock.monotonicMs() + (timeoutMs ?? Infinity), end)
  }

  /** Calls `end` when nothing has come in time, or something that it holds is soon taken from it. */
  #waitUntil(untilMs: number, end: (answer: AnswerName) => void): void {
    const { clock } = this.#context
    const worker = this.#worker
    const wait = (): (() => void) => {
      const timeLeftMs = untilMs - clock.monotonicMs()
      const deadlineMs = Math.max(0, worker.timeLeftMs - safetyMarginMs)
      return clock.after(Math.max(0, Math.min(timeLeftMs, deadlineMs, waitMsMax)), () => unlessFenced(look))
    }
    const look = (): void => {
      if (worker.timeLeftMs <= safetyMarginMs) return end('DEADLINE_SOON')
      // What is there, and may be on its way from the disk, is worth a moment.
      const found = untilMs > clock.monotonicMs() ? 'reading' : worker.take()
      if (found === 'reading') cancel = wait()
      else if (found === 'nothing') end('TIMED_OUT')
    }
    let cancel = wait()
    this.#cancelWait = () => {
      cancel()
      this.#server.waiting--
    }
  }

  #stopWaiting(): void {
    this.#worker.stopWaiting()
    this.#cancelWait?.()
    this.#cancelWait = undefined
  }

  #reserveJob(id: number, slot: Slot): void {
    const spot = this.#find(id)
    if (!spot) return this.#whenDurable(slot, 'NOT_FOUND')
    this.#beWorker()
    this.#wait(slot, done =>
      this.#worker.reserveSpot(spot, (held: Held | undefined, value: Buffer) => {
        if (!held) return done('NOT_FOUND')
        done([line('RESERVED', { numbers: [id, value.length] }), value, crlf])
      }),
    )
  }

  /** Where the job is, unless it is gone or not to be seen yet. */
  #find(id: number): Spot | undefined {
    const spot = this.#worker.held(id)?.spot ?? this.#broker.work.find(id)
    return spot?.queue.namespace === homeNamespace && spot.queue.stateOf(spot) ? spot : undefined
  }

  #found(spot: Spot | undefined, slot: Slot): void {
    if (!spot) return this.#whenDurable(slot, 'NOT_FOUND')
    this.#wait(slot, done =>
      spot.lane.look(spot.offset, (found: FoundMessage | undefined) => {
        if (!found) return done('NOT_FOUND')
        done([line('FOUND', { numbers: [spot.number, found.value.length] }), found.value, crlf])
      }),
    )
  }

  #statsJob(id: number, slot: Slot): void {
    const spot = this.#find(id)
    if (!spot) return this.#whenDurable(slot, 'NOT_FOUND')
    this.#wait(slot, done =>
      spot.lane.look(spot.offset, found => {
        const text = found && jobStatistics(spot, found, this.#context.clock.nowMs())
        done(text === undefined ? 'NOT_FOUND' : data(text))
      }),
    )
  }

  #statistics(): string {
    const { clock, local } = this.#context
    return serverStatistics(this.#broker, this.#server, local.host, clock.monotonicMs())
  }

  #blocked(slot: Slot, run: (done: (name: AnswerName, line?: Partial<TextLine>) => void) => void): void {
    this.#wait(slot, done => run((name, rest) => done([line(name, rest)])))
  }

  /** Holds up what is behind until `run` has called its `done`. */
  #wait(slot: Slot, run: (done: (answer: AnswerName | readonly Buffer[]) => void) => void): void {
    let isNow = true
    let isDone = false
    this.#isBlocked = true
    run(answer => {
      isDone = true
      this.#whenDurable(slot, answer)
      if (isNow) this.#isBlocked = false
      else this.#goOn()
    })
    isNow = false
    if (isDone) this.#isBlocked = false
  }

  #goOn(): void {
    this.#isBlocked = false
    while (this.#later.length > 0 && !this.#isBlocked && !this.#isClosed) {
      const later = this.#later
      this.#later = []
      for (const [index, packet] of later.entries()) {
        this.#begin(packet)
        if (this.#isBlocked) {
          this.#later = [...later.slice(index + 1), ...this.#later]
          break
        }
      }
    }
    if (!this.#isClosed) this.#outbox.progress()
  }

  /** Answers when all that was decided up to now is durable. */
  #whenDurable(slot: Slot, answer: AnswerName | readonly Buffer[], rest?: Partial<TextLine>): void {
    this.#broker.work.whenDurable(() => this.#answer(slot, answer, rest))
  }

  #answer(slot: Slot, answer: AnswerName | readonly Buffer[], rest?: Partial<TextLine>): void {
    if (this.#isClosed) return
    slot.bytes = typeof answer === 'string' ? [line(answer, rest)] : answer
    const slots = this.#slots
    let count = 0
    for (; slots[count]?.bytes; count++) this.#outbox.write(slots[count]?.bytes ?? [])
    if (count === 0) return
    if (count === 1) slots.shift()
    else slots.splice(0, count)
    this.#outbox.progress()
  }

  #quit(): void {
    this.#isBlocked = true
    this.#stopWaiting()
    this.#worker.close()
    // What was answered before is still sent.
    this.#broker.work.whenDurable(() => {
      if (!this.#isClosed) this.#outbox.close()
    })
  }
}

/** What handlers may do with their connection. */
interface SessionParts {
  put(command: Command, slot: Slot): void
  use(name: string): void
  usedTube(): WorkQueue
  worker(): Worker
  broker(): Broker
  statistics(): string
  watch(command: Command, slot: Slot): void
  ignore(command: Command, slot: Slot): void
  reserve(timeoutMs: number | undefined, slot: Slot): void
  reserveJob(id: number, slot: Slot): void
  find(id: number): Spot | undefined
  found(spot: Spot | undefined, slot: Slot): void
  blocked(slot: Slot, run: (done: (name: AnswerName, line?: Partial<TextLine>) => void) => void): void
  statsJob(id: number, slot: Slot): void
  tube(name: string): WorkQueue | undefined
  tell(slot: Slot, answer: AnswerName | readonly Buffer[], line?: Partial<TextLine>): void
  quit(): void
}

type Handler = (session: SessionParts, command: Command, slot: Slot) => void

const handlers = {
  put: (session, command, slot) => session.put(command, slot),
  use: (session, { tube }, slot) => {
    session.use(tube)
    session.tell(slot, 'USING', { tube })
  },
  reserve: (session, _command, slot) => session.reserve(undefined, slot),
  'reserve-with-timeout': (session, { numbers }, slot) => session.reserve(1000 * first(numbers), slot),
  'reserve-job': (session, { numbers }, slot) => session.reserveJob(first(numbers), slot),
  delete: (session, { numbers }, slot) => {
    const id = first(numbers)
    if (session.worker().remove(id)) return session.tell(slot, 'DELETED')
    const spot = session.find(id)
    if (!spot) return session.tell(slot, 'NOT_FOUND')
    session.blocked(slot, done => spot.queue.remove(spot, wasThere => done(wasThere ? 'DELETED' : 'NOT_FOUND')))
  },
  release: (session, { numbers: [id = 0, priority = 0, seconds = 0] }, slot) => {
    session.tell(slot, session.worker().release(id, priority, 1000 * seconds) ? 'RELEASED' : 'NOT_FOUND')
  },
  bury: (session, { numbers: [id = 0, priority = 0] }, slot) => {
    session.tell(slot, session.worker().putAside(id, priority) ? 'BURIED' : 'NOT_FOUND')
  },
  touch: (session, { numbers }, slot) => {
    session.tell(slot, session.worker().touch(first(numbers)) ? 'TOUCHED' : 'NOT_FOUND')
  },
  watch: (session, command, slot) => session.watch(command, slot),
  ignore: (session, command, slot) => session.ignore(command, slot),
  peek: (session, { numbers }, slot) => session.found(session.find(first(numbers)), slot),
  'peek-ready': (session, _command, slot) => session.found(session.usedTube().head(), slot),
  'peek-delayed': (session, _command, slot) => session.found(session.usedTube().firstDelayed(), slot),
  'peek-buried': (session, _command, slot) => session.found(session.usedTube().firstAside(), slot),
  kick: (session, { numbers }, slot) => {
    session.blocked(slot, done => session.usedTube().kick(first(numbers), n => done('KICKED count', { numbers: [n] })))
  },
  'kick-job': (session, { numbers }, slot) => {
    const spot = session.find(first(numbers))
    session.tell(slot, spot?.queue.kickOne(spot) ? 'KICKED' : 'NOT_FOUND')
  },
  'stats-job': (session, { numbers }, slot) => session.statsJob(first(numbers), slot),
  'stats-tube': (session, { tube }, slot) => {
    const queue = session.tube(tube)
    session.tell(slot, queue ? data(tubeStatistics(queue)) : 'NOT_FOUND')
  },
  stats: (session, _command, slot) => session.tell(slot, data(session.statistics())),
  'list-tubes': (session, _command, slot) => {
    const names = tubesOf(session.broker()).map(({ name }) => name)
    session.tell(slot, data(yamlList(names.includes(defaultTube) ? names : [defaultTube, ...names])))
  },
  'list-tube-used': (session, _command, slot) => session.tell(slot, 'USING', { tube: session.usedTube().name }),
  'list-tubes-watched': (session, _command, slot) => {
    session.tell(slot, data(yamlList(Array.from(session.worker().queues, ({ name }) => name))))
  },
  'pause-tube': (session, { tube, numbers }, slot) => {
    const queue = session.tube(tube)
    if (!queue) return session.tell(slot, 'NOT_FOUND')
    queue.pause(Math.max(1, 1000 * first(numbers)))
    session.tell(slot, 'PAUSED')
  },
  quit: session => session.quit(),
} satisfies Record<CommandName, Handler>

const first = (numbers: readonly number[]): number => numbers[0] ?? 0

/** The line alone: a body is sent as it lies. */
const line = (name: AnswerName, rest?: Partial<TextLine>): Buffer =>
  (rest ? undefined : fixedLines.get(name)) ?? encodeLine(answers[name], rest?.numbers ?? [], rest?.tube ?? '')

/** Answers that are always the same. */
const fixedLines = new Map<string, Buffer>()
for (const [name, form] of Object.entries(answers))
  if (Object.keys(form.args).length === 0) fixedLines.set(name, encodeLine(form, [], ''))

const data = (text: string): readonly Buffer[] => {
  const bytes = Buffer.from(text, 'latin1')
  return [line('OK', { numbers: [bytes.length] }), bytes, crlf]
}

const answerOfPut = (error: PutError): AnswerName => answerOf[error]

/** A body lies in the bytes that are read next. */
function kept(packet: Packet): Packet {
  return 'body' in packet && packet.body ? { ...packet, body: Buffer.from(packet.body) } : packet
}

const noBytes = Buffer.alloc(0)
