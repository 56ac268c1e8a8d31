import { versions } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { reasons } from '../../packages/broker/src/protocols/mqtt/reasons.ts'
import { MqttDialer, type MqttLink } from './mqtt-client.ts'
import { valueOf } from './records.ts'
import { nameOf, RetainedHistory, type Sent } from './subject-history.ts'
import type { Shared } from './workload.ts'

/** Of a session that does not end in a run. */
const foreverSeconds = 1_000_000

/** The will of one connection, which may or may not have come about. */
interface Will {
  readonly sent: Sent
  /** From the loss of the client until it is published. */
  readonly delayMs: number
  /** When somebody was sent it; Infinity: never. */
  seenMs: number
  /** How often the broker's clock had been set when the connection was asked for: its time is measured by that clock. */
  readonly clockSets: number
}

/**
 * A client that comes with a will, and is lost, or says goodbye.
 *
 * Holds: the will of a connection is not published while that lasts, nor before its time; it is when the client is lost and does not come back in time, whatever happens to the broker; it is
 * not when the client has come back in time, or has said goodbye and the broker has noted that.
 */
export class Mortal {
  readonly #shared: Shared
  /** By which its wills are known. */
  readonly number: number
  readonly #topic: string
  readonly #version: number
  readonly #dialer: MqttDialer
  readonly #publishes: (sent: Sent) => void
  /** Its wills are the last messages of their topic. */
  readonly kept: RetainedHistory | undefined
  #index = 0
  /** What is still to be judged: that of the last connection. */
  #pending: Will | undefined
  /** In this life of the broker the client has said goodbye; undefined: it has not; -1: nobody knows whether it was heard. */
  #partedIn: number | undefined
  /** When the broker was last known to have the connection. */
  #heardMs = -Infinity

  /** `publishes` is told of each will, before it can be published. */
  constructor(shared: Shared, number: number, publishes: (sent: Sent) => void) {
    const { random } = shared.simulator
    this.#shared = shared
    this.number = number
    this.#topic = `will/${number}`
    this.#version = random.chance(0.7) ? versions.mqtt5 : versions.mqtt311
    this.#dialer = new MqttDialer(shared, { clientId: `mortal-${number}`, version: this.#version })
    this.#publishes = publishes
    this.kept = random.chance(0.5) ? new RetainedHistory(shared, this.#topic) : undefined
  }

  async run(): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    while (!this.#shared.isEnding) {
      await this.#live()
      await simulator.sleep(random.float() * random.pick([10, 300, 4_000]))
    }
    // Nobody comes back any more.
    const last = this.#pending
    if (last && this.#partedIn === undefined && (last.delayMs === 0 || this.#isKnown(last))) last.sent.isTaken = true
  }

  /** Whether it is known when a will that waits is due, and that nothing else has ended the wait. */
  #isKnown({ clockSets }: Will): boolean {
    return clockSets === this.#shared.clockSets && !this.#dialer.mayOpenLate
  }

  async #live(): Promise<void> {
    const { random } = this.#shared.simulator
    const is5 = this.#version === versions.mqtt5
    const cleanStart = random.chance(0.3)
    const expirySeconds = random.pick([0, 1, 3, foreverSeconds])
    const delaySeconds = random.pick([0, 0, 1, 2])
    const expiryMs = is5 ? expirySeconds * 1000 : cleanStart ? 0 : Infinity
    const will = this.#make(Math.min(expiryMs, is5 ? delaySeconds * 1000 : 0))
    const { qos } = will.sent
    const payload = valueOf(will.sent.id)
    const opened = await this.#dialer.open({
      cleanStart,
      keepAliveSeconds: random.pick([0, 5]),
      properties: { sessionExpiry: expirySeconds },
      will: {
        qos,
        isRetained: this.kept !== undefined,
        topic: this.#topic,
        payload,
        properties: { willDelay: delaySeconds },
      },
    })
    if (!opened) {
      // It may be there, and the one before may have gone.
      if (this.#dialer.mayBeOpen) this.#pending = this.#partedIn = undefined
      return
    }
    this.#judge(opened.isPresent)
    this.#pending = will
    opened.link.begin({ message: () => {}, ack: () => {} })
    await this.#stay(opened.link, will)
    await this.#part(opened.link)
  }

  #make(delayMs: number): Will {
    const { simulator, clockSets } = this.#shared
    const id = { producer: this.number, index: this.#index++ }
    const qos = simulator.random.pick([0, 1, 2, 2])
    this.kept?.sending(false)
    const seen = (): void => this.#seen(will)
    // One that a full disk had no room for is held back.
    const mayBeLate = (): boolean => this.#shared.mayBeFull()
    const sent: Sent = { id, topic: this.#topic, qos, isTaken: undefined, seen, mayBeLate }
    const will = { sent, delayMs, seenMs: Infinity, clockSets }
    this.#publishes(sent)
    return will
  }

  async #stay(link: MqttLink, will: Will): Promise<void> {
    const { simulator } = this.#shared
    const leavesMs = simulator.nowMs + simulator.random.float() * simulator.random.pick([20, 500, 5_000])
    while (!link.isOver && simulator.nowMs < leavesMs) {
      await simulator.sleep(20)
      // Asked whether it is still there when the will was seen.
      if (will.seenMs < Infinity) {
        link.ping()
        if (link.provenMs > will.seenMs) this.#fail(will, 'comes while its client is there')
      }
      this.#shared.operations++
    }
    this.#heardMs = link.heardMs
  }

  /** Says goodbye, says that it is lost, or just goes. */
  async #part(link: MqttLink): Promise<void> {
    const { simulator, broker } = this.#shared
    const { random } = simulator
    const { incarnation } = broker
    this.#partedIn = undefined
    const saysGoodbye = random.chance(0.5)
    if (!link.isOver && (saysGoodbye || (random.chance(0.3) && this.#version === versions.mqtt5))) {
      link.driver.disconnect(saysGoodbye ? reasons.success : reasons.disconnectWithWill)
      await this.#dialer.inTime(link.driver.over()).catch(() => {})
      if (saysGoodbye) this.#partedIn = link.driver.wasEnded ? incarnation : -1
    }
    link.drop()
  }

  /** The client is there again: what has become of its last will? */
  #judge(isPresent: boolean): void {
    const will = this.#pending
    if (!will) return
    const { simulator, broker } = this.#shared
    const { sent, delayMs, seenMs } = will
    const mayLeave = this.#partedIn
    if (mayLeave !== undefined) {
      // What the broker has noted before it went on is not forgotten.
      if (mayLeave === broker.incarnation) this.#mustNot(will, 'comes, and its client has said goodbye')
      return
    }
    // With its session the wait is over.
    if (delayMs === 0 || !isPresent) return void (sent.isTaken = true)
    if (!this.#isKnown(will)) return
    const dueMs = this.#heardMs + delayMs - 1
    if (seenMs < dueMs) this.#fail(will, `comes ${(dueMs - seenMs).toFixed(0)} ms before its time`)
    if (simulator.nowMs < dueMs) this.#mustNot(will, 'comes, and its client has come back in time')
  }

  #seen(will: Will): void {
    const { id, qos } = will.sent
    will.seenMs = Math.min(will.seenMs, this.#shared.simulator.nowMs)
    // One before that was held back may come behind it; and one of quality 0 comes before it lasts.
    if (qos > 0 && !this.#shared.mayBeFull()) this.kept?.answered(id.index, true)
  }

  #mustNot(will: Will, problem: string): void {
    will.sent.isTaken = false
    this.kept?.answered(will.sent.id.index, false)
    if (will.seenMs < Infinity) this.#fail(will, problem)
  }

  #fail({ sent }: Will, problem: string): void {
    this.#shared.simulator.fail(`The will ${nameOf(sent)} ${problem}`)
  }
}
