import type { AbortedTransaction } from '../../cell/stream-transactions.ts'
import { attributeBits, attributes, baseOffset, producerId } from '../../storage/record-batch.ts'

/** Whether the batch at `at` is for no consumer: control batches are for nobody, aborted ones not for those who want what is committed. */
export function isHidden(bytes: Buffer, at: number, aborted: readonly AbortedTransaction[]): boolean {
  const bits = attributes(bytes, at)
  if (bits & attributeBits.control) return true
  if (!(bits & attributeBits.transactional) || aborted.length === 0) return false
  const producer = producerId(bytes, at)
  const offset = baseOffset(bytes, at)
  return aborted.some(
    ({ producerId: of, firstOffset, lastOffset }) => of === producer && firstOffset <= offset && offset <= lastOffset,
  )
}
