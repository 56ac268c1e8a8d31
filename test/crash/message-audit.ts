import assert from 'node:assert/strict'

interface Known {
  readonly queue: string
  isConfirmed: boolean
  /** An acknowledgement was sent, and when something that was asked for later was answered. */
  acked: 'no' | 'perhaps' | 'surely'
  /** In which life of the broker it was last delivered from which queue; and whether that must have outlived it. */
  deliveredIn: number
  deliveredFrom: string
  isDeliveryDurable: boolean
  leftIn: string[]
}

/** All that publishers and consumers were told of messages, across the lives of a broker. */
export class MessageAudit {
  readonly #messages = new Map<string, Known>()
  #life = 0
  #redelivered = 0
  #confirmedCount = 0
  #ackedCount = 0

  restarted(): void {
    this.#life++
    this.#confirmedCount = this.#ackedCount = 0
  }

  /** In this life, so many more were confirmed than acknowledged. */
  get backlog(): number {
    return this.#confirmedCount - this.#ackedCount
  }

  sent(body: string, queue: string): void {
    const known: Known = {
      ...{ queue, isConfirmed: false, acked: 'no', deliveredIn: 0, deliveredFrom: '', isDeliveryDurable: false },
      leftIn: [],
    }
    this.#messages.set(body, known)
  }

  confirmed(body: string): void {
    this.#get(body).isConfirmed = true
    this.#confirmedCount++
  }

  /** Returns the body. */
  delivered(queue: string, message: { body: Buffer; redelivered: boolean }): string {
    const body = String(message.body)
    const known = this.#get(body)
    assert.notEqual(known.acked, 'surely', `${body} was acknowledged, and comes again`)
    const isAgain = known.deliveredFrom === queue && (known.deliveredIn === this.#life || known.isDeliveryDurable)
    // What was dead-lettered meanwhile comes for the first time.
    if (isAgain && !message.redelivered && queue !== 'work') assert.fail(`${body} comes again from ${queue}, unmarked`)
    if (message.redelivered) this.#redelivered++
    known.deliveredIn = this.#life
    known.deliveredFrom = queue
    known.isDeliveryDurable = false
    return body
  }

  acking(body: string): void {
    this.#get(body).acked = 'perhaps'
  }

  /** All that was done on one channel before something that was asked for, and is answered now, is durable. */
  settled(delivered: readonly string[], acked: readonly string[]): void {
    for (const body of delivered) this.#get(body).isDeliveryDurable = true
    for (const body of acked) this.#get(body).acked = 'surely'
    this.#ackedCount += acked.length
  }

  /** It is still in the queue at the end. */
  left(body: string, queue: string): void {
    this.#get(body).leftIn.push(queue)
  }

  checkAll(): void {
    for (const [body, { queue, isConfirmed, acked, leftIn }] of this.#messages) {
      assert(leftIn.length <= 1, `${body} is there more than once: in ${leftIn.join()}`)
      if (leftIn.length > 0) assert.notEqual(acked, 'surely', `${body} was acknowledged, and is in ${leftIn.join()}`)
      // A circle that nobody has broken ends, with what is in it.
      else if (isConfirmed && queue !== 'ring') assert.notEqual(acked, 'no', `${body} was confirmed, and is lost`)
    }
  }

  get counts(): { confirmed: number; acknowledged: number; deadLettered: number; redelivered: number } {
    const all = [...this.#messages.values()]
    const count = (is: (known: Known) => boolean): number => all.filter(is).length
    return {
      confirmed: count(({ isConfirmed }) => isConfirmed),
      acknowledged: count(({ acked }) => acked === 'surely'),
      deadLettered: count(({ leftIn }) => leftIn.includes('poison')),
      redelivered: this.#redelivered,
    }
  }

  summary(): string {
    const { confirmed, acknowledged, redelivered } = this.counts
    return `${confirmed} confirmed, ${acknowledged} acknowledged, ${redelivered} came again`
  }

  #get(body: string): Known {
    const known = this.#messages.get(body)
    assert(known, `${body} was never sent`)
    return known
  }
}
