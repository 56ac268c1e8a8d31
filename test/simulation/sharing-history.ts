import type { MqttLink } from './mqtt-client.ts'
import { keyOf } from './list-history.ts'
import { nameOf, type Found, type Receiver, type Sent } from './subject-history.ts'
import type { Shared } from './workload.ts'

/** Who was given a message last. */
interface Given {
  member: SharingMember
  link: MqttLink
  /** When it was acknowledged on that connection; Infinity: it was not. */
  ackedMs: number
  /** In this life of the broker it was told that it is the member's for good; undefined: it was not. */
  releasedIn: number | undefined
  /** A crash does not undo that. */
  isLasting: boolean
}

/** Something that is wrong if these connections were open after that moment. */
interface Doubt {
  readonly message: string
  readonly afterMs: number
  readonly links: readonly MqttLink[]
}

/**
 * All that the members of one shared subscription were sent.
 *
 * Holds: what was taken comes to one of them, and to another one only when that one was lost before it had acknowledged it. What is published once
 * is not given out again when the broker has noted that it was acknowledged. An identifier means one message until it is released.
 */
export class SharingHistory {
  readonly name: string
  readonly wants: (topic: string) => boolean
  readonly shared: Shared
  readonly #given = new Map<number, Given>()
  #doubts: Doubt[] = []

  constructor(shared: Shared, name: string, wants: (topic: string) => boolean) {
    this.shared = shared
    this.name = name
    this.wants = wants
  }

  came(member: SharingMember, link: MqttLink, sent: Sent): Given {
    const before = this.#given.get(keyOf(sent.id))
    // What is published at least once may be two messages.
    if (before && sent.qos !== 1) this.#again(before, link, sent)
    const given = { member, link, ackedMs: Infinity, releasedIn: undefined, isLasting: member.isLasting }
    this.#given.set(keyOf(sent.id), given)
    sent.seen?.()
    return given
  }

  #again({ member, link: last, ackedMs, releasedIn, isLasting }: Given, link: MqttLink, sent: Sent): void {
    const { incarnation } = this.shared.broker
    if (sent.qos === 0) return this.fail(`${nameOf(sent)} comes a second time`)
    if (last === link) return this.fail(`${nameOf(sent)} comes twice on a connection`)
    const afterMs = this.shared.simulator.nowMs
    const isReleased = releasedIn !== undefined && (isLasting || releasedIn === incarnation)
    const isAcked = ackedMs < last.provenMs && last.incarnation === incarnation
    if (isReleased || isAcked) {
      const message = `${nameOf(sent)} was acknowledged by ${member.name}, and is given out again`
      this.#doubts.push({ message, afterMs, links: [link] })
    } else if (!last.isOver) {
      const message = `${nameOf(sent)} is given out again, and ${member.name} holds it`
      this.#doubts.push({ message, afterMs, links: [link, last] })
    }
  }

  /** Looks at what is known by now of the connections in doubt. */
  look(): void {
    this.#doubts = this.#doubts.filter(({ message, afterMs, links }) => {
      if (links.every(({ provenMs }) => provenMs > afterMs)) this.fail(message)
      return links.every(({ isOver, provenMs }) => !isOver || provenMs > afterMs)
    })
  }

  /** One of those that must have come by now, and has not. */
  missing(all: Iterable<Sent>): Sent | undefined {
    for (const sent of all) {
      const isSure = sent.isTaken === true && sent.qos > 0 && this.wants(sent.topic)
      if (isSure && !this.#given.has(keyOf(sent.id))) return sent
    }
    return undefined
  }

  fail(message: string): void {
    this.shared.simulator.fail(`those who share ${this.name}: ${message}`)
  }
}

/** What one member was sent. */
export class SharingMember implements Receiver {
  readonly name: string
  readonly qos: number
  readonly isLasting: boolean
  readonly #group: SharingHistory
  #link: MqttLink | undefined
  /** By identifier, what came on this connection. */
  readonly #given = new Map<number, Given>()
  /** Messages of quality 2 that are the client's, which the broker has not released: another one of that identifier would be taken for the same. */
  readonly #held = new Map<number, Sent>()

  constructor(group: SharingHistory, name: string, { qos, isLasting }: { qos: number; isLasting: boolean }) {
    this.#group = group
    this.name = name
    this.qos = qos
    this.isLasting = isLasting
  }

  connected(link: MqttLink): void {
    this.#link = link
    this.#given.clear()
    if (!this.isLasting) this.#held.clear()
  }

  came(sent: Sent, { packetId, qos, topic }: Found): void {
    const group = this.#group
    const link = this.#link
    if (!link) return
    if (topic !== sent.topic) group.fail(`${nameOf(sent)} comes from ${topic}`)
    if (!group.wants(topic)) group.fail(`${nameOf(sent)} comes, and was not subscribed to`)
    if (qos !== Math.min(sent.qos, this.qos)) group.fail(`${nameOf(sent)} comes with quality ${qos}`)
    if (sent.isTaken === false) group.fail(`${nameOf(sent)} was refused, and comes`)
    if (qos === 2) {
      const held = this.#held.get(packetId)
      if (held && held !== sent)
        group.fail(`${nameOf(sent)} has the identifier of ${nameOf(held)}, which ${this.name} holds`)
      this.#held.set(packetId, sent)
    }
    this.#given.set(packetId, group.came(this, link, sent))
  }

  acknowledged(packetId: number): void {
    const given = this.#given.get(packetId)
    if (given) given.ackedMs = this.#group.shared.simulator.nowMs
  }

  releasing(packetId: number): void {
    this.#held.delete(packetId)
    const given = this.#given.get(packetId)
    if (given) given.releasedIn = this.#group.shared.broker.incarnation
  }

  released(): void {}
}
