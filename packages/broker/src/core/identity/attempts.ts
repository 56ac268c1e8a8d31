/** How often clients have tried to log in, by protocol. */
export class Attempts {
  readonly #byProtocol = new Map<string, { succeeded: number; failed: number }>()

  note(protocol: string, isRight: boolean): void {
    let counts = this.#byProtocol.get(protocol)
    if (!counts) this.#byProtocol.set(protocol, (counts = { succeeded: 0, failed: 0 }))
    if (isRight) counts.succeeded++
    else counts.failed++
  }

  list(): { protocol: string; succeeded: number; failed: number }[] {
    return Array.from(this.#byProtocol, ([protocol, counts]) => ({ protocol, ...counts }))
  }

  clear(): void {
    this.#byProtocol.clear()
  }
}
