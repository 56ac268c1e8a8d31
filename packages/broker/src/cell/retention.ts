import { writeInt64 } from '../storage/record-batch.ts'
import type { CellCore } from './core.ts'
import { extent, streamFacts } from './stream.ts'
import type { Stream } from './stream.ts'

/** Trims every stream to what its retention says, whole extents at a time, and forgets producers that fell silent. */
export function enforceRetention(cell: CellCore): void {
  const now = cell.options.agesMs?.() ?? cell.clock.nowMs()
  for (const stream of cell.state.streams.values()) {
    const start = retainedFrom(cell, stream, now)
    if (start > stream.startOffset) trimStream(cell, stream.id, start)
    forgetSilent(cell, stream, now - cell.options.sizes.producerIdleMs)
  }
}

/** The fact that removes everything below `start`. Returns the block's number. */
export function trimStream(cell: CellCore, stream: number, start: number): number {
  const payload = Buffer.alloc(8)
  writeInt64(payload, 0, start)
  return cell.fact(stream, streamFacts.trim, payload)
}

/** Bytes in the tail count for the size, but are trimmed only once they are in an extent; what nobody needs goes at once. */
function retainedFrom(cell: CellCore, stream: Stream, now: number): number {
  const retention = cell.options.retentionOf(stream.id)
  if (!retention) return stream.startOffset
  const { extents } = stream
  let start = stream.startOffset
  let kept = stream.bytes
  for (let row = 0; row < extents.count; row++) {
    const bytes = extents.get(row, extent.bytes)
    const expired = retention.ms >= 0 && extents.get(row, extent.maxTimestamp) < now - retention.ms
    const surplus = retention.bytes >= 0 && kept - bytes >= retention.bytes
    if (!expired && !surplus) break
    kept -= bytes
    start = extents.get(row, extent.last) + 1
  }
  return Math.max(start, Math.min(retention.neededFrom ?? 0, stream.visibleEnd))
}

function forgetSilent(cell: CellCore, stream: Stream, before: number): void {
  if (stream.producers.size === 0) return
  // Who has a transaction open is not silent, only slow.
  const silent = stream.producers
    .silentSince(before)
    .filter(producer => stream.transactions?.firstOffsetOf(producer) === undefined)
  if (silent.length === 0) return
  const payload = Buffer.alloc(silent.length * 8)
  for (const [index, producer] of silent.entries()) writeInt64(payload, index * 8, producer)
  cell.fact(stream.id, streamFacts.forgetProducers, payload)
}
