import type { Random } from '@dragoman/wire'
import { perBroker } from '../per-broker.ts'
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

  static readonly of = perBroker((_broker, random: Random, nowMs: number) => new Server(random, nowMs))

  count(command: CommandName): void {
    this.commands.set(command, (this.commands.get(command) ?? 0) + 1)
  }

  uptimeSeconds(nowMs: number): number {
    return Math.floor((nowMs - this.#startedMs) / 1000)
  }
}
