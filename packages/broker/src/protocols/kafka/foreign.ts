import type { Origins } from '../../core/origins.ts'
import { attributeBits, attributes, batchBytes } from '../../storage/record-batch.ts'
import { mapBatch } from '../../storage/rebuild-batch.ts'
import { fromMessage } from './mapping.ts'

/**
 * Stored batches as clients of this protocol read them. What they have written themselves stays as it is; records that came by another protocol
 * get their properties as headers. Batches of such records are made anew, with the same offsets.
 */
export function readable(slices: readonly Buffer[], origins: Origins): readonly Buffer[] {
  if (!slices.some(isForeign)) return slices
  return slices.flatMap(slice => (isForeign(slice) ? [...translated(slice, origins)] : [slice]))
}

/** Whether any batch has records that another protocol has written. */
function isForeign(slice: Buffer): boolean {
  for (let at = 0; at < slice.length; at += batchBytes(slice, at)) {
    if (attributes(slice, at) & attributeBits.ownHeaders) return true
  }
  return false
}

function* translated(slice: Buffer, origins: Origins): Generator<Buffer> {
  let from = 0
  for (let at = 0; at < slice.length;) {
    const end = at + batchBytes(slice, at)
    const batch =
      attributes(slice, at) & attributeBits.ownHeaders
        ? mapBatch(slice, at, record => fromMessage(origins.messageOf(record)))
        : undefined
    if (batch) {
      if (at > from) yield slice.subarray(from, at)
      yield batch
      from = end
    }
    at = end
  }
  if (from < slice.length) yield slice.subarray(from)
}
