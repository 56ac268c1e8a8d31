import type { Connection } from './connection.ts'
import { StompError } from './errors.ts'
import { shown } from './headers.ts'
import type { Outgoing, Publishing } from './publishing.ts'
import { owned } from './scheduling.ts'

/** What a step costs in memory besides the body of its message. */
const stepOverhead = 512
/** For small limits, and what messages cost besides their bytes. */
const allowance = 16 * 1024 * 1024

/** What was sent and acknowledged since a transaction was begun: it takes effect together, within one block. */
interface Transaction {
  readonly sent: Outgoing[]
  readonly settlements: (() => void)[]
  bytes: number
}

/** The transactions of one connection, by the names that the client gives them. */
export class Transactions {
  readonly #connection: Connection
  readonly #publishing: Publishing
  readonly #open = new Map<string, Transaction>()
  /** Of all of them. */
  #bytes = 0

  constructor(connection: Connection, publishing: Publishing) {
    this.#connection = connection
    this.#publishing = publishing
  }

  begin(name: string): undefined {
    if (this.#open.has(name))
      throw new StompError('invalid_transaction', `Transaction ${shown(name)} has begun already`)
    this.#take(stepOverhead)
    this.#open.set(name, { sent: [], settlements: [], bytes: stepOverhead })
  }

  /** Keeps a message until the commit. */
  send(name: string, outgoing: Outgoing): void {
    const transaction = this.#get(name)
    const bytes = stepOverhead + (outgoing.message.value?.length ?? 0)
    this.#take(bytes)
    transaction.bytes += bytes
    transaction.sent.push({ ...outgoing, message: owned(outgoing.message) })
  }

  /** Keeps what becomes of messages until the commit. */
  settle(name: string, apply: () => void): void {
    const transaction = this.#get(name)
    this.#take(stepOverhead)
    transaction.bytes += stepOverhead
    transaction.settlements.push(apply)
  }

  /** Throws when a part of it was refused; the rest of it has been done. */
  commit(name: string): Promise<unknown> | undefined {
    const { sent, settlements } = this.#end(name)
    const waiting: Promise<unknown>[] = []
    let refused: Error | undefined
    this.#connection.broker.router.atomic(() => {
      for (const outgoing of sent) {
        try {
          const result = this.#publishing.send(outgoing)
          if (typeof result !== 'number') waiting.push(result)
        } catch (error) {
          refused ??= error instanceof Error ? error : new Error(String(error))
        }
      }
      if (refused === undefined) for (const apply of settlements) apply()
    })
    if (refused !== undefined) throw refused
    return waiting.length === 0 ? undefined : Promise.all(waiting)
  }

  abort(name: string): undefined {
    this.#end(name)
  }

  #get(name: string): Transaction {
    const transaction = this.#open.get(name)
    if (!transaction) throw new StompError('invalid_transaction', `There is no transaction ${shown(name)}`)
    return transaction
  }

  #end(name: string): Transaction {
    const transaction = this.#get(name)
    this.#open.delete(name)
    this.#bytes -= transaction.bytes
    return transaction
  }

  #take(bytes: number): void {
    const max = 2 * this.#connection.broker.limits.messageBytesMax + allowance
    if (this.#bytes + bytes > max) {
      throw new StompError('limit_reached', `The open transactions of the connection would take more than ${max} bytes`)
    }
    this.#bytes += bytes
  }
}
