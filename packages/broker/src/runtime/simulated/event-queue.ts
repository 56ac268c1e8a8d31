import type { Owner } from './world.ts'

/** Something that will happen. Order: time, then the seeded `tie`, then the order of planning. */
export interface SimEvent {
  timeMs: number
  tie: number
  order: number
  label: string
  run: () => void
  /** Whose event it is: it vanishes when that incarnation has ended. Undefined: the world's own. */
  owner: Owner | undefined
  incarnation: number
}

/** A binary heap. */
export class EventQueue {
  readonly #heap: SimEvent[] = []

  get length(): number {
    return this.#heap.length
  }

  first(): SimEvent | undefined {
    return this.#heap[0]
  }

  push(event: SimEvent): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!isBefore(event, heap[parent]!)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  pop(): SimEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last && heap.length > 0) this.#sink(last)
    return first
  }

  #sink(event: SimEvent): void {
    const heap = this.#heap
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (!isBefore(heap[child]!, event)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = event
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  if (a.timeMs !== b.timeMs) return a.timeMs < b.timeMs
  if (a.tie !== b.tie) return a.tie < b.tie
  return a.order < b.order
}
