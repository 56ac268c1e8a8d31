import { Writer, type Reader } from '@dragoman/wire'
import { compareParts, readPart, writePart, type EntryId, type IdPart } from './entry-id.ts'

/**
 * What streams of entries write into the journal. Written to disk: never renumber, and give what changes its form a new number. Each begins with the number
 * of the stream (uvarint); those of groups go on with that of the group, and those of consumers with that of the consumer.
 *
 * An id is two numbers of 64 bits (`writePart`), a name is its bytes. Entries of a list ascend and are written as differences.
 */
export const entryFacts = {
  /** offset, id: the stream is one of entries from there on. */
  opened: 1,
  /** id of the next entry */
  added: 2,
  /** count, first id: so many records brought none */
  adopted: 3,
  /** greatest id, offsets */
  removed: 4,
  /** offset: everything below it is gone */
  trimmed: 5,
  /** last id, count of all that were ever added (-1: as it is), greatest id that was removed */
  idSet: 6,
  /** The stream is none any more. */
  forgotten: 7,
  /** last id, next offset, count of what was read (-1: unknown), name */
  groupCreated: 8,
  /** last id, next offset, count of what was read */
  groupSet: 9,
  groupRemoved: 10,
  /** name */
  consumerCreated: 11,
  consumerRemoved: 12,
  /** last id, next offset, count of what was read, entries (offset, id): delivered to the consumer, which holds them from now on */
  delivered: 13,
  /** offsets: nobody holds them any more */
  acked: 14,
  /** time, entries (offset, id, count): the consumer holds them from now on */
  claimed: 15,
} as const

/** The longest list of entries in one fact. */
export const listedMax = 4096

/** Cuts one fact after the other. */
export const writer = new Writer()

/** Begins a fact. */
export function factFor(stream: number): Writer {
  // What a fact that could not be written has left behind.
  if (writer.length > 0) writer.take()
  writer.uvarint(stream)
  return writer
}

export function writeName(out: Writer, name: string): void {
  out.compactBytes(Buffer.from(name, 'latin1'))
}

export function readName(from: Reader): string {
  return from.compactBytes().toString('latin1')
}

/** Entries one after the other, each as the difference to the one before it. */
export class EntryLister {
  /** What was written or read last. */
  offset = 0
  ms: IdPart = 0
  seq: IdPart = 0

  write(out: Writer, offset: number, ms: IdPart, seq: IdPart): void {
    out.varlong(offset - this.offset)
    writeIdAfter(out, this.ms, this.seq, ms, seq)
    this.offset = offset
    this.ms = ms
    this.seq = seq
  }

  read(from: Reader): void {
    this.offset += from.varlong()
    const later = from.varlong()
    if (later < 0) {
      this.ms = readPart(from)
      this.seq = readPart(from)
      return
    }
    const seq = from.varlong()
    if (later === 0) this.seq = (this.seq as number) + seq
    else {
      this.ms = (this.ms as number) + later
      this.seq = seq
    }
  }
}

/** Short when it is a little greater than the one before: the difference of the times, then what counts within one. */
export function writeIdAfter(out: Writer, beforeMs: IdPart, beforeSeq: IdPart, ms: IdPart, seq: IdPart): void {
  const isShort =
    typeof beforeMs === 'number' && typeof ms === 'number' && typeof beforeSeq === 'number' && typeof seq === 'number'
  if (isShort && compareParts(ms, seq, beforeMs, beforeSeq) >= 0) {
    out.varlong(ms - beforeMs)
    out.varlong(ms === beforeMs ? seq - beforeSeq : seq)
    return
  }
  out.varlong(-1)
  writePart(out, ms)
  writePart(out, seq)
}

export function readIdAfter(from: Reader, beforeMs: IdPart, beforeSeq: IdPart): EntryId {
  const later = from.varlong()
  if (later < 0) {
    const ms = readPart(from)
    return { ms, seq: readPart(from) }
  }
  const seq = from.varlong()
  return { ms: (beforeMs as number) + later, seq: later === 0 ? (beforeSeq as number) + seq : seq }
}
