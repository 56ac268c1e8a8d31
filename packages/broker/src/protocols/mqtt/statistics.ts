import type { Broker } from '../../core/broker.ts'
import type { Counter } from '../../core/connections.ts'
import { perBroker } from '../per-broker.ts'

/** What all connections of a broker count since it was started. */
export class Statistics {
  connections = 0
  connectionsMost = 0
  /** Ever. */
  connectionsTotal = 0
  /** Application messages: those from clients, those to them, and those that a slow one has not got. */
  received = 0
  sent = 0
  readonly dropped: Counter
  receivedBytes = 0
  sentBytes = 0
  receivedPackets = 0
  sentPackets = 0
  subscriptions = 0
  sharedSubscriptions = 0

  static readonly of = perBroker(broker => new Statistics(broker))

  private constructor({ connections }: Broker) {
    this.dropped = connections.lostBy('mqtt')
  }

  opened(): void {
    this.connectionsTotal++
    this.connections++
    this.connectionsMost = Math.max(this.connectionsMost, this.connections)
  }

  closed(): void {
    this.connections--
  }
}
