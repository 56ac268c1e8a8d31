import type { CellClient, StreamId } from '../../cell/client.ts'
import type { ReadError } from '../cursor/record-reader.ts'
import { BatchWindow, RecordView } from '../cursor/record-view.ts'

/** A record that is wanted; one of the last two is set when it was read. */
export interface Wanted {
  readonly stream: StreamId
  readonly offset: number
  record: RecordView | undefined
  error: ReadError | 'absent' | undefined
}

/** So many reads at a time. */
const readsMax = 16
/** Records that are no further apart are read together, up to so many bytes. */
const gapMax = 64
const readBytes = 64 * 1024

/** Reads all that is wanted, which must be visible. Records have bytes of their own. */
export async function loadRecords(cell: CellClient, wanted: readonly Wanted[]): Promise<void> {
  const sorted = wanted.toSorted((a, b) => a.stream - b.stream || a.offset - b.offset)
  let next = 0
  const one = async (): Promise<void> => {
    while (next < sorted.length) {
      const from = next
      let to = from + 1
      while (to < sorted.length && isNear(sorted[to - 1]!, sorted[to]!)) to++
      next = to
      for (let at = from; at < to;) at += await read(cell, sorted, at, to)
    }
  }
  await Promise.all(Array.from({ length: Math.min(readsMax, sorted.length) }, one))
}

const isNear = (a: Wanted, b: Wanted): boolean => a.stream === b.stream && b.offset - a.offset <= gapMax

/** Reads the first of [from, to), and those of the others that come with it. Resolves with their number. */
function read(cell: CellClient, wanted: readonly Wanted[], from: number, to: number): Promise<number> {
  const { stream, offset } = wanted[from]!
  const maxBytes = to - from > 1 ? readBytes : 1
  return new Promise(resolve => {
    cell.fetch({ streams: [{ stream, offset, maxBytes }], minBytes: 0, maxBytes, maxWaitMs: 0 }, result => {
      const [found] = result.streams
      const first = wanted[from]!
      if (!found || found.error !== undefined) {
        first.error = found?.error ?? 'stream-not-found'
        result.release()
        return resolve(1)
      }
      let at = from
      for (const bytes of found.batches) {
        const window = new BatchWindow()
        window.fill(wanted[at]!.offset, bytes, found.endOffset)
        for (; at < to && wanted[at]!.offset < window.to; at++) {
          const view = new RecordView()
          if (window.find(wanted[at]!.offset, view)) wanted[at]!.record = ownBytes(view)
          else wanted[at]!.error = 'absent'
        }
        if (at === to) break
      }
      result.release()
      if (at === from) first.error = 'absent'
      resolve(Math.max(1, at - from))
    })
  })
}

/** Only its own bytes are copied: those around it are many times as many. */
function ownBytes(view: RecordView): RecordView {
  const { keyAt } = view
  view.bytes = Buffer.from(view.bytes.subarray(keyAt, view.end))
  view.keyAt = 0
  view.valueAt -= keyAt
  view.headersAt -= keyAt
  view.end -= keyAt
  return view
}
