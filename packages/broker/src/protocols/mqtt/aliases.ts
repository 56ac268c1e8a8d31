/** Topics that a client is told once, and by a number from then on. [MQTT 5.0, 3.3.2.3.4] */
const ownMax = 16

export class Aliases {
  readonly #max: number
  readonly #numbers = new Map<string, number>()

  /** `max` is what the client allows. */
  constructor(max: number) {
    this.#max = Math.min(max, ownMax)
  }

  /** The first topics have one; those that come later have none. */
  of(topic: Buffer): { number: number; isKnown: boolean } | undefined {
    const text = topic.toString('latin1')
    const known = this.#numbers.get(text)
    if (known !== undefined) return { number: known, isKnown: true }
    if (this.#numbers.size >= this.#max) return undefined
    const number = this.#numbers.size + 1
    this.#numbers.set(text, number)
    return { number, isKnown: false }
  }
}
