import type { StreamId, StreamRead } from '../../cell/client.ts'
import type { QueueStreams } from '../volatile/volatile-streams.ts'
import { BatchWindow, RecordView } from './record-view.ts'
import { ReusedMemory } from './reused-memory.ts'

/** The first read of a stretch; each that follows it is twice as large. */
const readBytesMin = 16 * 1024
const readBytesMax = 512 * 1024

/**
 * What becomes of the bytes that a reader shows: `copied`, they are its own and stay as they are. `lent`: nothing is copied; they stay as they are, and
 * hold on to the memory of the stream, until the reader is cleared, which has to be soon. `reused`: they are overwritten after the next `read` or
 * `clear`.
 */
export type ShownBytes = 'copied' | 'lent' | 'reused'

export type ReadError = NonNullable<StreamRead['error']>

/**
 * The bodies of the messages that a cursor gives out. Two windows: one moves along with what is ready, the other is for what was returned, so that
 * redeliveries do not spoil the reading ahead. In order, a record costs a step from one to the next.
 */
export class RecordReader {
  readonly #cell: QueueStreams
  readonly #stream: StreamId
  readonly #committed: boolean
  readonly #lends: boolean
  /** What gives back the memory that was lent. */
  #releases: (() => void)[] = []
  #ahead: BatchWindow | undefined
  #behind: BatchWindow | undefined
  #record: RecordView | undefined
  #readBytes = readBytesMin
  #cancel: (() => void) | undefined
  /** Where the windows' bytes lie while their memory is used again. */
  #reused: { readonly ahead: ReusedMemory; readonly behind: ReusedMemory } | undefined

  /** `committed`: what is in transactions is there when they are committed. */
  constructor(cell: QueueStreams, stream: StreamId, committed = false, shown: ShownBytes = 'copied') {
    this.#lends = shown === 'lent'
    if (shown === 'reused') this.#reused = { ahead: new ReusedMemory(), behind: new ReusedMemory() }
    this.#cell = cell
    this.#stream = stream
    this.#committed = committed
  }

  /** Bytes in memory. */
  get bytes(): number {
    return (this.#ahead?.bytes ?? 0) + (this.#behind?.bytes ?? 0)
  }

  /** What the last `find` has found. */
  get record(): RecordView {
    return (this.#record ??= new RecordView())
  }

  /** Up to here (exclusive) all was read that follows what `find` was asked for last. */
  readTo = 0

  /** `found`: it is in `record`. `absent`: the stream has no message for consumers there. `unread`: `read` it first. */
  find(offset: number): 'found' | 'absent' | 'unread' {
    const ahead = this.#ahead
    const behind = this.#behind
    const window = ahead && offset >= ahead.from && offset < ahead.to ? ahead : behind
    if (!window || offset < window.from || offset >= window.to) return 'unread'
    this.readTo = window.to
    return window.find(offset, this.record) ? 'found' : 'absent'
  }

  /**
   * Reads from `offset` on, which must be visible. Returns whether it is there already: else `done` is called later. `isAhead`: more
   * will be wanted behind it. An error is told to `done` in any case. One read at a time.
   */
  read(offset: number, isAhead: boolean, done: (error?: ReadError) => void): boolean {
    const window = isAhead ? (this.#ahead ??= newWindow()) : (this.#behind ??= newWindow())
    const goesOn = isAhead && window.to === offset && window.bytes > 0
    this.#readBytes = goesOn ? Math.min(this.#readBytes * 2, readBytesMax) : readBytesMin
    const maxBytes = this.#readBytes
    let isWithinCall = true
    let isOver = false
    let isThere = false
    const cancel = this.#cell.fetch(
      {
        streams: [{ stream: this.#stream, offset, maxBytes }],
        minBytes: 0,
        maxBytes,
        maxWaitMs: 0,
        committed: this.#committed,
      },
      result => {
        this.#cancel = undefined
        isOver = true
        const [found] = result.streams
        if (found && !found.error) {
          const end = this.#committed ? found.stableOffset : found.endOffset
          if (this.#lends) {
            window.fillMany(offset, found.batches, end, found.aborted)
            this.#releases.push(() => result.release())
          } else {
            // A copy: what lies in the tail's memory would hold on to much more than itself.
            window.fill(offset, this.#copyOf(found.batches, isAhead), end, found.aborted)
          }
          isThere = window.to > offset
        } else window.clear()
        if (!this.#lends) result.release()
        if (isThere && isWithinCall) return
        done(isThere ? undefined : (found?.error ?? 'stream-not-found'))
      },
    )
    isWithinCall = false
    if (!isOver) this.#cancel = cancel
    return isThere
  }

  #copyOf(batches: readonly Buffer[], isAhead: boolean): Buffer {
    const memory = isAhead ? this.#reused?.ahead : this.#reused?.behind
    return memory ? memory.concat(batches) : Buffer.concat(batches)
  }

  /** What a reader that reuses its memory shows stays as it is from now on, also what it has shown last. */
  keepShown(): void {
    this.#reused = undefined
  }

  /** Gives the memory back; what is being read is forgotten, and its `done` not called. */
  clear(): void {
    this.#cancel?.()
    this.#cancel = undefined
    giveBack(this.#ahead)
    giveBack(this.#behind)
    for (const release of this.#releases.splice(0)) release()
    this.#reused?.ahead.giveBack()
    this.#reused?.behind.giveBack()
    // What it shows is the windows' memory.
    this.#ahead = this.#behind = this.#record = undefined
  }
}

/** Windows that nobody uses: there are many readers, and few that read at a time. */
const spareWindows: BatchWindow[] = []
const spareMax = 256

const newWindow = (): BatchWindow => spareWindows.pop() ?? new BatchWindow()

function giveBack(window: BatchWindow | undefined): void {
  if (!window) return
  window.clear()
  if (spareWindows.length < spareMax) spareWindows.push(window)
}
