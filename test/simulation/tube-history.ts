import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'
import type { Span } from './share-history.ts'

export type JobState = 'ready' | 'reserved' | 'delayed' | 'buried'

/** What was not answered may still happen for so long: cut links, a paused broker. */
const lateMsMax = 25_000

/** What a connection believes that the broker keeps for it: it ends when the connection does. */
export class TubeHold {
  isOver = false
  readonly jobs = new Set<Job>()
  /** What must not have been true if the connection was still there after `afterMs`. */
  readonly doubts: { afterMs: number; message: string }[] = []
}

/** How often something happened: answered, and asked for. */
interface Bounds {
  least: number
  most: number
}

/** One job, as its producer and all others together know it. */
export class Job {
  readonly label: string
  readonly tube: string
  readonly ttrMs: number
  id: number | undefined
  /** Undefined: nobody knows. */
  priority: number | undefined
  /** Since when at the latest it has this one. */
  prioritySinceMs = -Infinity
  /** What it is in for sure; undefined: nobody knows. */
  state: JobState | undefined = undefined
  /** Since when at the latest. */
  sinceMs = Infinity
  /** A delayed one is not given out before, unless it is kicked or the broker's clock was set. */
  notBeforeMs = -Infinity
  clockJumps = 0
  /** When it was told that it is deleted; Infinity: never. -Infinity: it was refused. */
  deletedMs = Infinity
  isPerhapsDeleted = false
  holder: TubeHold | undefined
  heldFromMs = 0
  heldUntilMs = 0
  readonly counts: Record<'releases' | 'buries' | 'kicks', Bounds> = {
    releases: { least: 0, most: 0 },
    buries: { least: 0, most: 0 },
    kicks: { least: 0, most: 0 },
  }
  reserves = 0
  #version = 0
  /** Commands that name it and are not answered, or never will be. */
  #open = 0

  constructor(label: string, tube: string, priority: number, ttrMs: number) {
    this.label = label
    this.tube = tube
    this.priority = priority
    this.ttrMs = ttrMs
  }

  get name(): string {
    return `job ${this.label} (${this.id ?? 'no number'})`
  }

  become(state: JobState | undefined, ms: number): void {
    this.#version++
    this.state = state
    this.sinceMs = ms
  }

  /** A command is sent that may change it. Never ended: the answer was lost. */
  begin(): () => boolean {
    this.#open++
    this.become(undefined, Infinity)
    const version = this.#version
    /** True: nothing else can have happened to it since it was sent. */
    return () => --this.#open === 0 && this.#version === version
  }
}

/**
 * All that the clients of tubes were told.
 *
 * Holds: numbers count up and are never used again; a number always means the same job. What was answered with INSERTED is there until
 * somebody has deleted it, and not again after that. A job that a connection has reserved is given to nobody else, and cannot be
 * touched by others, until its time is over or the connection is gone. The most urgent job that is ready comes first, and of those the
 * one with the lowest number. A delayed job does not come early, a buried one not at all.
 */
export class TubeHistory {
  readonly #world: World
  readonly byLabel = new Map<string, Job>()
  readonly byId = new Map<number, Job>()
  /** By tube, those that may be there. */
  readonly #alive = new Map<string, Set<Job>>()
  /** The highest number that somebody was told. */
  idMax = 0
  /** Reserves that are under way, or whose answers were lost not long ago: each may have taken any job. */
  readonly #reserving = new Set<{ untilMs: number }>()
  readonly #kicking = new Set<{ tube: string; untilMs: number }>()
  lostReserves = 0

  constructor(world: World) {
    this.#world = world
  }

  add(job: Job): void {
    this.byLabel.set(job.label, job)
    const alive = this.#alive.get(job.tube)
    if (alive) alive.add(job)
    else this.#alive.set(job.tube, new Set([job]))
  }

  /** A job was inserted; `floor` is `idMax` when that was asked for. */
  inserted(job: Job, id: number, floor: number): void {
    if (id <= floor) this.#world.fail(`${job.label} has number ${id}, and ${floor} was given to another before`)
    this.saw(job, id)
  }

  /** Somebody was shown a job of that number. */
  saw(job: Job, id: number): void {
    if (job.id === id) return
    if (job.id !== undefined) this.#world.fail(`${job.name} is there once more, as number ${id}`)
    if (job.deletedMs === -Infinity) this.#world.fail(`${job.name} was refused, and is there`)
    const other = this.byId.get(id)
    if (other) this.#world.fail(`Number ${id} is that of ${other.label}, and now of ${job.label}`)
    job.id = id
    this.byId.set(id, job)
    this.idMax = Math.max(this.idMax, id)
  }

  /** A body that came back must be one that was sent. */
  jobOf(label: string): Job {
    const job = this.byLabel.get(label)
    if (!job) this.#world.fail(`there is a job ${JSON.stringify(label)} that nobody has put`)
    return job ?? new Job(label, '', 0, 0)
  }

  /** The connection was used with success: it was there up to the request. */
  used(session: TubeHold, { askedMs }: Span): void {
    const doubt = session.doubts.find(({ afterMs }) => askedMs >= afterMs)
    if (doubt) this.#world.fail(doubt.message)
  }

  reserving(): { untilMs: number } {
    const request = { untilMs: Infinity }
    this.#reserving.add(request)
    return request
  }

  reserveEnded(request: { untilMs: number }, isLost: boolean, nowMs: number): void {
    if (!isLost) this.#reserving.delete(request)
    else {
      // It may have taken a job, and the broker may hear late that the connection is gone.
      request.untilMs = nowMs + lateMsMax
      this.lostReserves++
    }
  }

  /** A job was given to a connection; `isByName`: it was asked for by its number. */
  reserved(session: TubeHold, job: Job, { askedMs, nowMs }: Span, isByName: boolean, clockJumps: number): void {
    this.#endKicks(nowMs)
    if (job.deletedMs < askedMs) this.#world.fail(`${job.name} was deleted, and is reserved again`)
    this.#checkHolder(job, session, 'is given to another', { askedMs, nowMs })
    const isKnown = !isByName && job.sinceMs <= askedMs && !this.#isKicking(job.tube)
    if (isKnown && job.state === 'buried') this.#world.fail(`${job.name} is buried, and was reserved`)
    // The broker's clock counts whole milliseconds.
    const isEarly = nowMs <= job.notBeforeMs - 1
    if (isKnown && job.state === 'delayed' && isEarly && job.clockJumps === clockJumps) {
      this.#world.fail(`${job.name} is reserved ${(job.notBeforeMs - nowMs).toFixed(0)} ms before its delay is over`)
    }
    if (!isByName) this.#checkOrder(job, { askedMs, nowMs })
    job.reserves++
    const untilMs = askedMs + job.ttrMs
    if (untilMs <= nowMs || (job.holder && job.heldUntilMs > untilMs)) return job.become(undefined, Infinity)
    job.holder?.jobs.delete(job)
    job.holder = session
    job.heldFromMs = nowMs
    job.heldUntilMs = untilMs
    session.jobs.add(job)
    job.become('reserved', nowMs)
  }

  /** More urgent jobs that were ready all the time can only have been taken by others. */
  #checkOrder(job: Job, { askedMs, nowMs }: Span): void {
    let others = -1 // The request itself.
    for (const request of this.#reserving) {
      if (request.untilMs >= askedMs) others++
      else this.#reserving.delete(request)
    }
    const { id = 0, priority } = job
    // An answer that comes late may be of a time when it had another one.
    if (priority === undefined || job.prioritySinceMs > askedMs) return
    const before: Job[] = []
    for (const each of this.#alive.get(job.tube) ?? []) {
      if (each.deletedMs < Infinity) this.#alive.get(job.tube)?.delete(each)
      if (each.id === undefined || each === job || each.priority === undefined || each.isPerhapsDeleted) continue
      if (each.state !== 'ready' || each.sinceMs > askedMs || each.deletedMs < Infinity) continue
      if (each.priority < priority || (each.priority === priority && each.id < id)) before.push(each)
    }
    if (before.length <= others) return
    const list = before.map(each => `${each.name} of priority ${each.priority} since ${each.sinceMs.toFixed(0)}`)
    this.#world.fail(
      `${job.name} of priority ${priority} is reserved (asked at ${askedMs.toFixed(0)}, got at ${nowMs.toFixed(0)}); ` +
        `more urgent: ${list.join(', ')}; ${others} others reserve`,
    )
  }

  /** Something happened to the job, at some time of the span, that must not while somebody holds it. */
  #checkHolder(job: Job, by: TubeHold | undefined, what: string, { askedMs, nowMs }: Span): void {
    const { holder, heldFromMs, heldUntilMs } = job
    if (!holder || holder.isOver || heldUntilMs <= nowMs || askedMs < heldFromMs) return
    const message = `${job.name} ${what}, and its holder has ${(heldUntilMs - nowMs).toFixed(0)} ms left`
    if (holder === by) this.#world.fail(message)
    else holder.doubts.push({ afterMs: nowMs, message })
  }

  /** The connection says what becomes of the job: it is not its holder any more. Returns until when it was for sure. */
  settle(session: TubeHold, job: Job): number {
    session.jobs.delete(job)
    if (job.holder !== session) return -Infinity
    job.holder = undefined
    return job.heldUntilMs
  }

  /** That was answered with NOT_FOUND. */
  notSettled(session: TubeHold, job: Job, heldUntilMs: number, { nowMs }: Span): void {
    if (session.isOver || heldUntilMs <= nowMs) return
    this.#world.fail(`${job.name} is held by a connection that cannot settle it`)
  }

  /** Somebody was told that a job is deleted. */
  deleted(job: Job, by: TubeHold | undefined, { askedMs, nowMs }: Span): void {
    if (job.deletedMs < askedMs) this.#world.fail(`${job.name} was deleted twice`)
    this.#checkHolder(job, by, 'is deleted by another', { askedMs, nowMs })
    job.deletedMs = Math.min(job.deletedMs, nowMs)
  }

  /** Nobody knows any more what the connection holds. */
  over(session: TubeHold): void {
    session.isOver = true
    for (const job of session.jobs) {
      if (job.holder === session) job.holder = undefined
      job.become(undefined, Infinity)
    }
    session.jobs.clear()
    session.doubts.length = 0
  }

  /** From now on, until it is ended, anything that is not ready may become so. */
  kicking(tube: string): { tube: string; untilMs: number } {
    const kick = { tube, untilMs: Infinity }
    this.#kicking.add(kick)
    this.#blur(tube)
    return kick
  }

  kickEnded(kick: { tube: string; untilMs: number }, isLost: boolean, nowMs: number): void {
    kick.untilMs = isLost ? nowMs + lateMsMax : nowMs
    this.#endKicks(nowMs)
  }

  #isKicking(tube: string): boolean {
    for (const kick of this.#kicking) if (kick.tube === tube) return true
    return false
  }

  #endKicks(nowMs: number): void {
    for (const kick of this.#kicking) {
      if (kick.untilMs > nowMs) continue
      this.#kicking.delete(kick)
      this.#blur(kick.tube)
    }
  }

  #blur(tube: string): void {
    for (const job of this.#alive.get(tube) ?? []) {
      if (job.state === 'ready' || job.state === 'reserved') continue
      job.become(undefined, Infinity)
    }
    for (const job of this.#alive.get(tube) ?? []) job.counts.kicks.most++
  }
}
