import type { MqttDriver } from '../../packages/broker/src/protocols/mqtt/driver.ts'
import type { Publish } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { pingreq, types } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import type { Client } from './client.ts'
import type { RecordId } from './history.ts'
import { keyOf } from './list-history.ts'
import { MqttDialer } from './mqtt-client.ts'
import { MqttPublisher } from './mqtt-publisher.ts'
import { MqttSubscriber } from './mqtt-subscriber.ts'
import { idOf, valueOf } from './records.ts'
import { SharingHistory, SharingMember } from './sharing-history.ts'
import { RetainedHistory, SubscriberHistory, nameOf, type Sent } from './subject-history.ts'
import { Mortal } from './wills.ts'
import type { Shared, Workload } from './workload.ts'

const topics = ['t/0', 't/1', 't/a/b', 'u']
const filters: readonly (readonly [string, (topic: string) => boolean])[] = [
  ['t/#', topic => topic.startsWith('t/')],
  ['t/+', topic => /^t\/[^/]+$/.test(topic)],
  ['u', topic => topic === 'u'],
  ['#', () => true],
]
const messagesMax = 3_000
/** Those of the last messages of topics are not in the way of the others. */
const keeperNumber = 900
const mortalNumber = 800

interface Kept {
  readonly history: RetainedHistory
  readonly number: number
}

/** Publishers and subscribers whose sessions outlive their connections, and topics of which the last message is kept. */
export class Subjects implements Workload {
  readonly shared: Shared
  readonly #sent = new Map<number, Sent>()
  readonly #subscribers: MqttSubscriber[] = []
  readonly #histories: SubscriberHistory[] = []
  readonly #sharings: SharingHistory[] = []
  readonly #publishers: MqttPublisher[] = []
  readonly #mortals: Mortal[] = []
  /** Topics of which the last message is kept, each with who publishes there: `#keepers` do nothing else. */
  readonly #kept: Kept[] = []
  readonly #keepers: Kept[] = []
  #isOver = false
  #checks = 0

  constructor(shared: Shared) {
    this.shared = shared
    const { random } = shared.simulator
    for (let number = random.between(1, 4); number > 0; number--) {
      const [filter, wants] = random.pick(filters)
      this.#subscribe(`subscriber-${number}`, random.pick([0, 1, 2, 2]), filter, wants)
    }
    for (let number = random.between(0, 2); number > 0; number--) this.#share(`share-${number}`)
    for (let number = random.between(0, 4); number > 0; number--)
      this.#mortals.push(new Mortal(shared, mortalNumber + number, sent => this.#sent.set(keyOf(sent.id), sent)))
    if (this.#mortals.length > 0)
      this.#subscribe('heir', random.pick([1, 2]), 'will/#', topic => topic.startsWith('will/'))
    for (let number = random.between(0, 3); number > 0; number--)
      this.#keepers.push({ history: new RetainedHistory(shared, `kept/${number}`), number: keeperNumber + number })
    this.#kept.push(...this.#keepers)
    for (const { kept, number } of this.#mortals) if (kept) this.#kept.push({ history: kept, number })
  }

  #subscribe(name: string, qos: number, filter: string, wants: (topic: string) => boolean): void {
    const history = new SubscriberHistory(this.shared.simulator, name, qos, wants)
    this.#histories.push(history)
    this.#subscribers.push(new MqttSubscriber(this.shared, history, this.#sent, { filter }))
  }

  /** Some who share a filter, of whom one comes back. */
  #share(group: string): void {
    const { random } = this.shared.simulator
    const [filter, wants] = random.pick(filters)
    const history = new SharingHistory(this.shared, `${group} of ${filter}`, wants)
    this.#sharings.push(history)
    const count = random.between(1, 3)
    for (let number = 0; number < count; number++) {
      const isLasting = number === 0 || random.chance(0.6)
      const member = new SharingMember(history, `${group}-${number}`, { qos: random.pick([1, 2]), isLasting })
      const wanted = { filter: `$share/${group}/${filter}`, isLasting }
      this.#subscribers.push(new MqttSubscriber(this.shared, member, this.#sent, wanted))
    }
  }

  async run(): Promise<void> {
    const { shared } = this
    const { simulator } = shared
    const { random } = simulator
    const isEnding = (): boolean => shared.isEnding
    const subscribers = this.#subscribers.map(each =>
      each.run(
        () => this.#isOver,
        () => !shared.isEnding,
      ),
    )
    while (this.#subscribers.some(({ isSubscribed }) => !isSubscribed)) await simulator.sleep(20)
    const tasks: Promise<void>[] = []
    const windowMax = random.pick([1, 5, 20])
    for (let number = random.between(1, 3); number > 0; number--) {
      const publisher = new MqttPublisher(shared, `publisher-${number}`, windowMax)
      this.#publishers.push(publisher)
      tasks.push(publisher.run(isEnding), this.#publish(publisher, number))
    }
    for (const mortal of this.#mortals) tasks.push(mortal.run())
    for (const { history, number } of this.#keepers) {
      const publisher = new MqttPublisher(shared, `keeper-${number}`, 1)
      tasks.push(publisher.run(isEnding), this.#keep(publisher, history, number))
    }
    if (this.#kept.length > 0) tasks.push(this.#look())
    if (this.#sharings.length > 0) tasks.push(this.#watch())
    await Promise.all(tasks)
    await this.#settle()
    this.#isOver = true
    await Promise.all(subscribers)
  }

  async #publish(publisher: MqttPublisher, number: number): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    for (let index = 0; !this.shared.isEnding;) {
      if (publisher.hasRoom) this.#publishOne(publisher, { producer: number, index: index++ })
      await simulator.sleep(random.float() * (this.#sent.size > messagesMax ? 3_000 : random.chance(0.05) ? 300 : 3))
    }
  }

  async #watch(): Promise<void> {
    while (!this.shared.isEnding) {
      await this.shared.simulator.sleep(500)
      for (const sharing of this.#sharings) sharing.look()
    }
  }

  #publishOne(publisher: MqttPublisher, id: RecordId): void {
    const { random } = this.shared.simulator
    const sent: Sent = { id, topic: random.pick(topics), qos: random.pick([0, 1, 1, 2, 2]), isTaken: undefined }
    this.#sent.set(keyOf(id), sent)
    const answered = (isTaken: boolean | undefined): void => void (sent.isTaken = isTaken)
    publisher.publish({ topic: sent.topic, qos: sent.qos, payload: valueOf(id), isRetained: false, answered })
  }

  // The last messages of topics

  async #keep(publisher: MqttPublisher, history: RetainedHistory, producer: number): Promise<void> {
    const { simulator } = this.shared
    const { random } = simulator
    while (!this.shared.isEnding) {
      // Some end before the next one comes.
      const isShort = publisher.expires && random.chance(0.3)
      if (publisher.hasRoom) this.#keepOne(publisher, history, producer, isShort ? random.between(1, 4) : undefined)
      await simulator.sleep(random.float() * (isShort ? 6_000 : random.chance(0.2) ? 1_000 : 100))
    }
  }

  #keepOne(publisher: MqttPublisher, history: RetainedHistory, producer: number, expirySeconds?: number): void {
    const { random } = this.shared.simulator
    const isShort = expirySeconds !== undefined
    const removes = !isShort && random.chance(0.1)
    const index = history.sending(removes, isShort ? expirySeconds * 1_000 : Infinity)
    const id = { producer, index }
    const payload = removes ? Buffer.alloc(0) : valueOf(id)
    const { topic } = history
    // It is shown to those who subscribe to all, too.
    const sent: Sent = { id, topic, qos: random.pick([1, 2]), isTaken: undefined }
    if (!removes) this.#sent.set(keyOf(id), sent)
    const answered = (isTaken: boolean | undefined): void => {
      // One that ends before it is sent to somebody is not sent.
      sent.isTaken = isShort && isTaken === true ? undefined : isTaken
      if (isTaken !== undefined) history.answered(index, isTaken)
    }
    publisher.publish({
      ...{ topic, qos: sent.qos, payload, isRetained: true, answered },
      ...(isShort ? { expirySeconds } : {}),
    })
  }

  /** Subscribes anew, now and then, and looks at what was kept. */
  async #look(): Promise<void> {
    const { simulator } = this.shared
    for (let number = 0; !this.shared.isEnding; number++) {
      await this.#lookOnce(`looker-${number}`)
      await simulator.sleep(simulator.random.float() * 2_000)
    }
  }

  /** False: nobody knows. */
  async #lookOnce(clientId: string): Promise<boolean> {
    const { simulator } = this.shared
    const dialer = new MqttDialer(this.shared, { clientId })
    const opened = await dialer.open()
    if (!opened) return false
    const { driver } = opened.link
    const asked = this.#kept.map(({ history }) => history.asking())
    const found = new Map<string, Publish>()
    const live = new Set<string>()
    const isKnown = await dialer.inTime(this.#retained(driver, found, live)).catch(() => false)
    driver.destroy()
    // Reading a failing disk gives nothing.
    if (!isKnown || this.shared.mayFail()) return false
    for (const [at, { history, number }] of this.#kept.entries()) {
      const message = found.get(history.topic)
      simulator.note(`${clientId}: ${history.topic} is ${String(message && idOf(0, message.payload).index)}`)
      // One that is published before the last one was read is told instead. With a block that finds no room, what is told waits, too.
      if (message || (!live.has(history.topic) && !this.shared.mayBeFull()))
        history.found(message ? this.#indexOf(message, number) : -1, asked[at]!)
    }
    return true
  }

  #indexOf({ payload, topic }: Publish, number: number): number {
    const { producer, index } = idOf(0, payload)
    if (producer !== number) this.shared.simulator.fail(`${topic} keeps a message of publisher ${producer}`)
    return index
  }

  async #retained(driver: MqttDriver, found: Map<string, Publish>, live: Set<string>): Promise<boolean> {
    const { simulator } = this.shared
    for (const filter of ['kept/+', 'will/+']) if ((await driver.subscribe(filter, 0)) !== 0) return false
    // They are read, and come one after the other: a broker that answers at once all the time has read them.
    for (let quick = 0; quick < 5;) {
      await simulator.sleep(300)
      const askedMs = simulator.nowMs
      driver.send(pingreq.encode({}, driver.version))
      await driver.expect(types.pingresp)
      quick = simulator.nowMs < askedMs + 100 ? quick + 1 : 0
    }
    while (driver.waitingMessages > 0) {
      const message = await driver.message()
      if (message.isRetained) found.set(message.topic, message)
      else live.add(message.topic)
    }
    return !driver.isOver
  }

  // The end

  /** Until everybody has everything, or time is over. */
  async #settle(): Promise<void> {
    const { simulator } = this.shared
    const has = (history: SubscriberHistory | SharingHistory): boolean =>
      history.missing(this.#sent.values()) === undefined
    const isComplete = (): boolean =>
      this.#histories.every(history => history.heldCount === 0 && has(history)) && this.#sharings.every(has)
    for (let waitedMs = 0; waitedMs < 60_000 && !isComplete(); waitedMs += 200) await simulator.sleep(200)
    // What comes twice comes now.
    await simulator.sleep(3_000)
  }

  async check(_client: Client): Promise<void> {
    const { shared } = this
    this.#checks++
    if (this.#checks > 1) {
      this.#isOver = false
      const subscribers = this.#subscribers.map(each =>
        each.run(
          () => this.#isOver,
          () => false,
        ),
      )
      await shared.simulator.sleep(5_000)
      this.#isOver = true
      await Promise.all(subscribers)
    }
    for (const sharing of this.#sharings) {
      sharing.look()
      const missing = sharing.missing(this.#sent.values())
      if (missing) sharing.fail(`${nameOf(missing)} was taken, and nobody gets it`)
    }
    for (const history of this.#histories) {
      if (history.heldCount > 0)
        shared.simulator.fail(`${history.heldCount} messages are taken by ${history.name}, and never released`)
      const missing = history.missing(this.#sent.values())
      if (missing) shared.simulator.fail(`${nameOf(missing)} was taken, and ${history.name} does not get it`)
    }
    for (let number = 0; !(await this.#lookOnce(`checker-${this.#checks}-${number}`)); number++)
      await shared.simulator.sleep(100)
  }
}
