import type { World } from '../../packages/broker/src/runtime/simulated/world.ts'

/** What a member of a share group believes that the broker keeps for it: it ends when the member can no longer be sure. */
export class ShareHold {
  isOver = false
  readonly entries = new Map<Entry, Hold>()
  /** What must not have been true if the broker still knew this session after `afterMs`. */
  readonly doubts: { afterMs: number; message: string }[] = []
}

interface Hold {
  session: ShareHold
  gotMs: number
  /** Not before this has the broker any reason to take it back. */
  untilMs: number
}

interface Entry {
  readonly name: string
  /** When it was told that the record is settled; Infinity: never. */
  settledMs: number
  /** It was said that it is settled, and the answer was lost. */
  isPerhapsSettled: boolean
  hold: Hold | undefined
  /** As last told, and how many fetches had lost their answers then. */
  deliveries: number
  lostFetches: number
}

/** What a member has said of records. */
export interface Settling {
  readonly session: ShareHold
  readonly how: 'accept' | 'release' | 'reject'
  readonly entries: readonly Entry[]
  /** Those that it did not hold as far as it knew. */
  readonly others: readonly Entry[]
  /** Until then it held them all for sure; 0: it did not. */
  readonly heldUntilMs: number
}

/** A time span: a request was sent, its answer came. What the broker did, it did in between. */
export interface Span {
  askedMs: number
  nowMs: number
}

/**
 * All that the members of one share group were told of its records.
 *
 * Holds: a record whose settlement was answered is not handed out by a later request. A record that a member holds, its lock
 * not run out and its session alive, is handed to nobody, settled by nobody else, and can be settled by that member. A record
 * that is gone without anybody having settled it was delivered as often as the limit allows.
 */
export class ShareHistory {
  /** Fetches of all members whose answers were lost: each may have delivered anything. */
  lostFetches = 0
  readonly #world: World
  readonly #deliveryLimit: number
  readonly #entries = new Map<string, Entry>()

  /** `deliveryLimit` 0: none. */
  constructor(world: World, deliveryLimit: number) {
    this.#world = world
    this.#deliveryLimit = deliveryLimit
  }

  produced(partition: number, offset: number): void {
    this.#entry(partition, offset)
  }

  #entry(partition: number, offset: number): Entry {
    const key = `${partition}/${offset}`
    let entry = this.#entries.get(key)
    if (entry === undefined) {
      entry = {
        name: `offset ${offset} of partition ${partition}`,
        ...{ settledMs: Infinity, isPerhapsSettled: false, hold: undefined, deliveries: 0, lostFetches: 0 },
      }
      this.#entries.set(key, entry)
    }
    return entry
  }

  /** A session was used with success: it has lived up to the request. */
  used(session: ShareHold, { askedMs }: Span): void {
    const doubt = session.doubts.find(({ afterMs }) => askedMs >= afterMs)
    if (doubt !== undefined) this.#world.fail(doubt.message)
  }

  /** A record was given to a member, which may rely on it for `lockMs` from the request on at least. */
  handedOut(
    { session, partition, offset, count }: { session: ShareHold; partition: number; offset: number; count: number },
    lockMs: number,
    { askedMs, nowMs }: Span,
  ): void {
    const entry = this.#entry(partition, offset)
    if (entry.settledMs < askedMs) this.#world.fail(`${entry.name} was settled, and is handed out again`)
    if (count < 1 || (this.#deliveryLimit > 0 && count > this.#deliveryLimit)) {
      this.#world.fail(`${entry.name} is handed out for the ${count}th time; ${this.#deliveryLimit} are allowed`)
    }
    this.#doubt(entry, 'is handed to another', { askedMs, nowMs })
    if (entry.hold !== undefined) this.#letGo(entry)
    entry.hold = { session, gotMs: nowMs, untilMs: askedMs + lockMs }
    session.entries.set(entry, entry.hold)
    if (count < entry.deliveries) return // The answer of an earlier delivery has come late.
    entry.deliveries = count
    entry.lostFetches = this.lostFetches
  }

  /** Something that must not be while somebody holds the record. */
  #doubt({ name, hold }: Entry, what: string, { askedMs, nowMs }: Span): void {
    if (hold === undefined || hold.session.isOver || hold.gotMs >= askedMs || hold.untilMs <= nowMs) return
    hold.session.doubts.push({ afterMs: nowMs, message: `${name} ${what} while its holder's lock runs` })
  }

  #letGo(entry: Entry): void {
    entry.hold?.session.entries.delete(entry)
    entry.hold = undefined
  }

  /** A member is about to settle records: from now on it does not rely on them. */
  settle(session: ShareHold, partition: number, offsets: readonly number[], how: Settling['how']): Settling {
    const entries = offsets.map(offset => this.#entry(partition, offset))
    let heldUntilMs = Infinity
    const others: Entry[] = []
    for (const entry of entries) {
      const isOwn = entry.hold?.session === session
      heldUntilMs = Math.min(heldUntilMs, isOwn ? (entry.hold?.untilMs ?? 0) : 0)
      if (isOwn) this.#letGo(entry)
      else others.push(entry)
    }
    return { session, how, entries, others, heldUntilMs }
  }

  /** `isTaken` undefined: nobody knows; false: the broker says that the member does not hold them all. */
  settled({ session, how, entries, others, heldUntilMs }: Settling, isTaken: boolean | undefined, span: Span): void {
    if (isTaken === false && !session.isOver && heldUntilMs > span.nowMs) {
      this.#world.fail(`${entries[0]?.name} is held by a member that is not allowed to ${how} it`)
    }
    if (isTaken === true) for (const entry of others) this.#doubt(entry, 'is settled by another', span)
    if (how === 'release' || isTaken === false) return
    for (const entry of entries) {
      if (isTaken === undefined) entry.isPerhapsSettled = true
      else entry.settledMs = Math.min(entry.settledMs, span.nowMs)
    }
  }

  /** The member cannot rely on anything any more. */
  over(session: ShareHold): void {
    session.isOver = true
    for (const entry of session.entries.keys()) entry.hold = undefined
    session.entries.clear()
    session.doubts.length = 0
  }

  /** Somebody else's record, if there is one. */
  heldByOthers(session: ShareHold, partition: number): number | undefined {
    for (const [key, { hold }] of this.#entries) {
      const [place, offset] = key.split('/').map(Number)
      if (place === partition && hold !== undefined && hold.session !== session) return offset
    }
    return undefined
  }

  /** The group says that nothing is left. */
  checkDone(): void {
    for (const { name, settledMs, isPerhapsSettled, deliveries, lostFetches } of this.#entries.values()) {
      if (settledMs < Infinity || isPerhapsSettled) continue
      const most = deliveries + this.lostFetches - lostFetches
      if (this.#deliveryLimit > 0 && most >= this.#deliveryLimit) continue
      this.#world.fail(`${name} is gone, and nobody has settled it; it was delivered ${deliveries} times`)
    }
  }
}
