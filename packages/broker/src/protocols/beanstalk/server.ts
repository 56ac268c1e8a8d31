import type { Random } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import type { CommandName } from './messages.ts'

/** What all connections of a broker have in common: what the statistics count since it was started. */
export class Server {
  readonly #startedMs: number
  readonly commands = new Map<CommandName, number>()
  readonly id: string
  jobs = 0
  timeouts = 0
  connections = 0
  producers = 0
  workers = 0
  waiting = 0
  connectionsEver = 0

  private constructor(random: Random, nowMs: number) {
    this.#startedMs = nowMs
    this.id = random.bytes(8).toString('hex')
  }

  static of(broker: Broker, random: Random, nowMs: number): Server {
    const known = servers.get(broker)
    if (known) return known
    const made = new Server(random, nowMs)
    servers.set(broker, made)
    return made
  }

  count(command: CommandName): void {
    this.commands.set(command, (this.commands.get(command) ?? 0) + 1)
  }

  uptimeSeconds(nowMs: number): number {
    return Math.floor((nowMs - this.#startedMs) / 1000)
  }
}

const servers = new WeakMap<Broker, Server>()
