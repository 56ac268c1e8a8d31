import type { Broker } from '../../core/broker.ts'
import { subjectExchange } from '../../core/routing/exchange.ts'

/** A letter for each kind of event; `A` stands for all but `m` and `n`, `K` and `E` say to which channels they go. */
const kinds = 'g$lshzxetdmn'
const allKinds = 'g$lshzxetd'

/** Tells channels what happens to keys. [Redis keyspace notifications] */
export class Events {
  readonly #broker: Broker
  readonly #namespace: string
  #wanted = new Set<string>()

  constructor(broker: Broker, namespace: string) {
    this.#broker = broker
    this.#namespace = namespace
  }

  /** Whether anything is told. */
  isOn = false
  /** Whether it is told which keys were looked for in vain. */
  tellsMisses = false

  /** What is told, as it is written in the configuration. */
  get flags(): string {
    const wanted = this.#wanted
    const isAll = allKinds.split('').every(kind => wanted.has(kind))
    const order = isAll ? 'nKEm' : `${allKinds}nKEm`
    const rest = order.split('').filter(kind => wanted.has(kind))
    return `${isAll ? 'A' : ''}${rest.join('')}`
  }

  /** Whether it can be `flags`. */
  static areFlags(text: string): boolean {
    return text.split('').every(letter => `A${kinds}KE`.includes(letter))
  }

  set flags(text: string) {
    const wanted = new Set<string>()
    for (const letter of text) {
      if (letter === 'A') for (const kind of allKinds) wanted.add(kind)
      else wanted.add(letter)
    }
    this.#wanted = wanted
    this.tellsMisses = (wanted.has('K') || wanted.has('E')) && wanted.has('m')
    this.isOn = (wanted.has('K') || wanted.has('E')) && kinds.split('').some(kind => wanted.has(kind))
  }

  /** `key` has a character for each byte. */
  tell(kind: string, event: string, key: string): void {
    const wanted = this.#wanted
    if (!wanted.has(kind)) return
    if (wanted.has('K')) this.#publish(`__keyspace@0__:${key}`, Buffer.from(event))
    if (wanted.has('E')) this.#publish(`__keyevent@0__:${event}`, Buffer.from(key, 'latin1'))
  }

  #publish(channel: string, value: Buffer): void {
    const key = Buffer.from(channel, 'latin1').toString()
    this.#broker.router.post({
      namespace: this.#namespace,
      exchange: subjectExchange,
      key,
      message: { key: Buffer.from(key), value },
    })
  }
}
