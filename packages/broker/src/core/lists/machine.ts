import type { Reader, Writer } from '@dragoman/wire'
import type { StreamId } from '../../cell/client.ts'
import type { Machine } from '../../cell/machine.ts'
import { checkVersion, factVersion, forgotten, listFacts, made, placed, readFact, turned } from './facts.ts'
import { Order } from './order.ts'

/** What is known of the order of one stream's messages. */
export interface ListState {
  readonly order: Order
  /** The queue was made by its first element, and goes when it is empty. */
  isMade: boolean
}

/** In which order the messages of streams are that are lists, where it is not that of their offsets. */
export class ListsMachine implements Machine {
  readonly lists = new Map<StreamId, ListState>()

  /** The state of a stream, which begins with it. */
  of(stream: StreamId): ListState {
    const known = this.lists.get(stream)
    if (known) return known
    const state: ListState = { order: new Order(), isMade: false }
    this.lists.set(stream, state)
    return state
  }

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case listFacts.made:
        this.of(readFact(made, payload).stream).isMade = true
        return
      case listFacts.turned: {
        const { stream, offset, isLeft } = readFact(turned, payload)
        return this.of(stream).order.turn(offset, isLeft ? 'left' : 'right')
      }
      case listFacts.placed: {
        const { stream, offset, anchor, isLeft } = readFact(placed, payload)
        return this.of(stream).order.place(offset, anchor, isLeft ? 'left' : 'right')
      }
      case listFacts.forgotten:
        this.lists.delete(readFact(forgotten, payload).stream)
        return
      default:
        throw new Error(`Lists have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  save(out: Writer): void {
    out.u8(factVersion)
    out.u32(this.lists.size)
    for (const [stream, { order, isMade }] of this.lists) {
      out.u32(stream)
      out.bool(isMade)
      order.save(out)
    }
  }

  load(from: Reader): void {
    checkVersion(from.u8())
    for (let left = from.u32(); left > 0; left--) {
      const stream = from.u32()
      const isMade = from.bool()
      const order = new Order()
      order.load(from)
      this.lists.set(stream, { order, isMade })
    }
  }
}
