import type { Properties } from './messages/basic.ts'

/** A message as a client gets it. */
export interface Received {
  readonly deliveryTag: number
  readonly redelivered: boolean
  readonly exchange: string
  readonly routingKey: string
  readonly properties: Properties
  readonly body: Buffer
}

/** What one consumer is sent. */
export class DriverConsumer {
  tag: string
  /** Messages that nobody has asked for yet. */
  readonly waiting: Received[] = []
  readonly #askers: { resolve(message: Received): void; reject(error: Error): void }[] = []
  #gone: Error | undefined

  constructor(tag: string) {
    this.tag = tag
  }

  /** The next message, when it comes. */
  next(): Promise<Received> {
    const message = this.waiting.shift()
    if (message) return Promise.resolve(message)
    return new Promise((resolve, reject) => {
      if (this.#gone) reject(this.#gone)
      else this.#askers.push({ resolve, reject })
    })
  }

  async take(count: number): Promise<Received[]> {
    const found: Received[] = []
    while (found.length < count) found.push(await this.next())
    return found
  }

  receive(message: Received): void {
    const asker = this.#askers.shift()
    if (asker) asker.resolve(message)
    else this.waiting.push(message)
  }

  over(error: Error): void {
    this.#gone = error
    for (const { reject } of this.#askers.splice(0)) reject(error)
  }
}
