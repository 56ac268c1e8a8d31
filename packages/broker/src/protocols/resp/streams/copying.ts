import { copyInto, entriesOf, withHeld, type CopiedEntry } from '../../../core/entry-streams/copying.ts'
import type { EntryStream } from '../../../core/entry-streams/entry-stream.ts'
import type { Client } from '../commands/command.ts'
import { afterOwn, streamAt, streamFor, worked } from './stream-client.ts'

/** A stream that is about to be copied. */
export interface StreamCopy {
  readonly source: EntryStream
  readonly entries: readonly CopiedEntry[]
}

/** The stream of that key with all that is in it; undefined when the key names something else. Throws `NotLoaded` when it has to be read. */
export function streamCopyOf(client: Client, key: string): StreamCopy | undefined {
  if (client.keys.typeOf(key)?.name !== 'stream') return undefined
  const source = streamAt(client, key)
  if (!source) return undefined
  afterOwn(client)
  const { listMemoryBytesMax } = client.broker.limits
  const entries = worked(client, () => entriesOf(source, listMemoryBytesMax))
  return { source, entries: withHeld(source, entries, listMemoryBytesMax) }
}

/** Makes the stream of another key the same. There is none yet. */
export function putStream(client: Client, { source, entries }: StreamCopy, key: string): void {
  copyInto(streamFor(client, key), source, entries, client.isExecuting)
}
