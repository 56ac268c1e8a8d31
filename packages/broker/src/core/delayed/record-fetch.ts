import type { CellClient, StreamId } from '../../cell/client.ts'
import { RecordReader, type ReadError } from '../cursor/record-reader.ts'
import type { RecordView } from '../cursor/record-view.ts'

/** One record, which has bytes of its own. Undefined: it is gone, or was not there yet. */
export async function fetchRecord(
  cell: CellClient,
  stream: StreamId,
  offset: number,
): Promise<RecordView | ReadError | undefined> {
  const { startOffset = 0, endOffset = 0 } = cell.bounds(stream) ?? {}
  if (offset < startOffset || offset >= endOffset) return undefined
  const reader = new RecordReader(cell, stream)
  const error = await new Promise<ReadError | undefined>(resolve => {
    if (reader.read(offset, false, resolve)) resolve(undefined)
  })
  if (error !== undefined) return error
  return reader.find(offset) === 'found' ? reader.record : undefined
}
