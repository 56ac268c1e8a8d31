import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import { defaultExchange } from './exchange.ts'
import { SinkPlace, type Binding } from './place.ts'
import type { Attachment, KeyPattern, Sink } from './sink.ts'
import type { RoutingTable } from './table.ts'

interface LiveBinding {
  readonly binding: Binding
  readonly pattern: KeyPattern
}

/** Those of all sinks of a broker. */
export interface LiveCount {
  count: number
  readonly max: number
}

const noArguments = { arguments: [], encoded: Buffer.alloc(0) }

export class SinkAttachment implements Attachment {
  readonly #table: RoutingTable
  readonly #namespace: string
  readonly #count: LiveCount
  readonly #place: SinkPlace
  readonly #bindings = new Map<string, LiveBinding>()

  constructor(table: RoutingTable, namespace: string, sink: Sink, count: LiveCount) {
    this.#table = table
    this.#namespace = namespace
    this.#count = count
    this.#place = new SinkPlace(namespace, sink)
  }

  bind(exchange: string, key: string, pattern: KeyPattern = 'binding'): void {
    const source = this.#table.exchange(this.#namespace, exchange)
    if (!source) throw new BrokerError('exchange-not-found', quote(exchange))
    if (exchange === defaultExchange) throw new BrokerError('access-denied', 'nothing is bound to the default exchange')
    const id = idOf(exchange, key, pattern)
    const present = this.#bindings.get(id)
    if (present?.binding.source === source) return
    if (present) this.#remove(id, present)
    const { max } = this.#count
    if (this.#count.count >= max) {
      throw new BrokerError('limit-reached', `there are ${max} bindings of subscriptions, which is the most allowed`)
    }
    const binding: Binding = { source, destination: this.#place, key, ...noArguments, isDurable: false }
    this.#table.bindLive(binding, pattern)
    this.#bindings.set(id, { binding, pattern })
    this.#count.count++
  }

  unbind(exchange: string, key: string, pattern: KeyPattern = 'binding'): void {
    const id = idOf(exchange, key, pattern)
    const present = this.#bindings.get(id)
    if (present) this.#remove(id, present)
  }

  detach(): void {
    // Routes that were found before may still lead here.
    this.#place.sink = undefined
    for (const [id, present] of this.#bindings) this.#remove(id, present)
  }

  #remove(id: string, { binding, pattern }: LiveBinding): void {
    this.#bindings.delete(id)
    this.#count.count--
    this.#table.unbindLive(binding, pattern)
  }
}

const idOf = (exchange: string, key: string, pattern: KeyPattern): string =>
  `${pattern} ${exchange.length} ${exchange}${key}`
