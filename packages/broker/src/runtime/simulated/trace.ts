/** The latest happenings in words, and a running hash over all of them: equal for two runs of the same seed, or something real leaked in. */
export class Trace {
  readonly #lines: (string | undefined)[]
  #count = 0
  #high = 0x811c9dc5
  #low = 0x9e3779b9
  readonly #float = new Float64Array(1)
  readonly #words = new Uint32Array(this.#float.buffer)

  constructor(linesMax: number) {
    this.#lines = Array.from({ length: linesMax })
  }

  mix(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x01000193) ^ (this.#low >>> 15)
    this.#low = Math.imul(this.#low + value, 0x85ebca6b) ^ (this.#high >>> 13)
  }

  mixTime(timeMs: number): void {
    this.#float[0] = timeMs
    this.mix(this.#words[0]!)
    this.mix(this.#words[1]!)
  }

  mixText(text: string): void {
    for (let index = 0; index < text.length; index++) this.mix(text.charCodeAt(index))
  }

  add(line: string): void {
    this.#lines[this.#count++ % this.#lines.length] = line
  }

  tail(): string[] {
    const size = this.#lines.length
    const first = Math.max(0, this.#count - size)
    return Array.from({ length: this.#count - first }, (_, index) => this.#lines[(first + index) % size] ?? '')
  }

  hash(): string {
    return [this.#high, this.#low].map(word => (word >>> 0).toString(16).padStart(8, '0')).join('')
  }
}
