import { encodeAck } from '../../packages/broker/src/protocols/mqtt/incoming.ts'
import { types, versions, type Publish } from '../../packages/broker/src/protocols/mqtt/messages.ts'
import { MqttDialer, type MqttLink } from './mqtt-client.ts'
import { lasting } from './mqtt-publisher.ts'
import { idOf } from './records.ts'
import { keyOf } from './list-history.ts'
import type { Receiver, Sent } from './subject-history.ts'
import type { Shared } from './workload.ts'

/** A client that takes what its filter matches, comes and goes, and keeps its state meanwhile, if it is lasting. */
export class MqttSubscriber {
  readonly history: Receiver
  readonly #shared: Shared
  readonly #sent: ReadonlyMap<number, Sent>
  readonly #filter: string
  readonly #dialer: MqttDialer
  /** What it has to answer, in this order. */
  #answers: { type: number; id: number }[] = []
  #link: MqttLink | undefined
  #connection = 0
  isSubscribed = false
  readonly #isLasting: boolean

  constructor(
    shared: Shared,
    history: Receiver,
    sent: ReadonlyMap<number, Sent>,
    { filter, isLasting = true }: { filter: string; isLasting?: boolean },
  ) {
    const { random } = shared.simulator
    this.#isLasting = isLasting
    this.#shared = shared
    this.history = history
    this.#filter = filter
    this.#sent = sent
    const version = random.chance(0.7) ? versions.mqtt5 : versions.mqtt311
    const ends = isLasting ? lasting : { cleanStart: true, properties: {} }
    const properties = { ...ends.properties, receiveMaximum: random.pick([1, 5, 100]) }
    this.#dialer = new MqttDialer(shared, { ...ends, properties, version, clientId: history.name })
  }

  /** Until `isOver`. `mayRest`: it goes away now and then. */
  async run(isOver: () => boolean, mayRest: () => boolean): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    while (!isOver()) {
      if (!this.#link || this.#link.isOver) await this.#connect()
      else if (mayRest() && random.chance(0.005)) {
        this.#link.drop()
        await simulator.sleep(random.float() * 2_000)
      } else await this.#answer(this.#link)
    }
    this.#link?.drop()
  }

  async #connect(): Promise<void> {
    const { simulator } = this.#shared
    const opened = await this.#dialer.open()
    if (!opened) return
    const { link, isPresent } = opened
    if (this.#isLasting && this.isSubscribed && !isPresent)
      simulator.fail(`the session of ${this.history.name} is gone`)
    if (!this.isSubscribed || !this.#isLasting) {
      const reason = await this.#dialer.inTime(link.driver.subscribe(this.#filter, this.history.qos)).catch(() => -1)
      // A full disk refuses, too.
      if (reason !== this.history.qos) return link.drop()
      this.isSubscribed = true
    }
    this.#answers = []
    this.#link = link
    const connection = ++this.#connection
    this.history.connected?.(link)
    link.begin({
      message: message => this.#came(link, connection, message),
      ack: (type, id) => {
        if (link !== this.#link || type !== types.pubrel) return
        this.#answers.push({ type: types.pubcomp, id })
        this.history.releasing?.(id)
      },
    })
  }

  #came(link: MqttLink, connection: number, { packetId, qos, topic, payload }: Publish): void {
    const { simulator } = this.#shared
    if (link !== this.#link) return
    if (qos > 0) this.#answers.push({ type: qos === 1 ? types.puback : types.pubrec, id: packetId })
    // Those have removed the last message of a topic.
    if (payload.length === 0) return
    try {
      const id = idOf(packetId, payload)
      simulator.note(`${this.history.name} has ${id.producer}/${id.index} as ${packetId} from ${topic}`)
      const sent = this.#sent.get(keyOf(id))
      if (!sent)
        return simulator.fail(`${this.history.name} is sent ${id.producer}/${id.index}, which nobody has published`)
      this.history.came(sent, { packetId, qos, topic }, connection)
      this.#shared.operations++
    } catch (error) {
      simulator.fail(`${this.history.name}: ${String(error)}`, error)
    }
  }

  /** A few of what is to be answered. */
  async #answer(link: MqttLink): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    for (let count = random.between(1, 50); count > 0; count--) {
      const answer = this.#answers.shift()
      if (!answer || link.isOver) break
      link.send(encodeAck(answer.type, answer.id, 0))
      if (answer.type === types.puback) this.history.acknowledged?.(answer.id)
      if (answer.type === types.pubcomp) this.history.released(answer.id)
    }
    await simulator.sleep(random.float() * (random.chance(0.05) ? 300 : 10))
  }
}
