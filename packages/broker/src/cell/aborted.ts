import { writeInt64 } from '../storage/record-batch.ts'
import type { CellCore } from './core.ts'
import type { CellState } from './state.ts'
import { streamFacts } from './stream.ts'

/** Of what was aborted in a stream below `end`, compaction has left no record. */
export interface AbortedEnd {
  stream: number
  end: number
}

/** Streams that remember aborted transactions of which no record is stored now. */
export function abortedEnds(state: CellState): AbortedEnd[] {
  const found: AbortedEnd[] = []
  for (const { id, compactedTo, transactions } of state.streams.values()) {
    const first = transactions?.firstAborted
    if (first !== undefined && first < compactedTo) found.push({ stream: id, end: compactedTo })
  }
  return found
}

/**
 * Readers of what is committed need not be told any more of transactions without records: markers can then go, too. To be called
 * when every checkpoint that a start may begin from names the compacted segments.
 */
export function forgetAborted(cell: CellCore, ends: readonly AbortedEnd[]): void {
  for (const { stream, end } of ends) {
    const first = cell.state.streams.get(stream)?.transactions?.firstAborted
    if (first === undefined || first >= end) continue
    const payload = Buffer.alloc(8)
    writeInt64(payload, 0, end)
    cell.fact(stream, streamFacts.forgetAborted, payload)
  }
}
