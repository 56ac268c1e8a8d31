import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { fuzzBytes, Random, Writer } from '@dragoman/wire'
import { apis, type Api } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import { makeProduce, request } from './frames.ts'

export interface FuzzOptions {
  port: number
  frames: number
  seed: number
  connections: number
  /** Called about once a second; a rejection ends the campaign. */
  watch(done: number): Promise<void>
}

export interface FuzzSummary {
  frames: number
  answers: number
  /** Connections that the broker closed because of what it was sent. */
  closed: number
  /** Connections that we closed because a request waits for others (a join, a long poll). */
  abandoned: number
}

const framesPerBurst = 32

/** Different frames made from the declarations before the sending starts; each is changed again when it is sent. */
const poolFrames = 4_000

/** A burst whose answers make no progress for this long holds a request that waits; the connection is given up. */
const patienceMs = 100

const answerBytesMax = 128 * 1024 * 1024

/**
 * Sends frames that are nearly right over real sockets and checks the form of every answer: a whole frame with the
 * correlation id that is next. Each connection sends a burst, takes the answers, and is opened anew when it was closed.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzSummary> {
  const summary = { frames: 0, answers: 0, closed: 0, abandoned: 0 }
  const random = new Random(options.seed)
  const pool = Array.from({ length: poolFrames }, () => sampleFrame(random))
  let watching = performance.now()
  const watch = async (): Promise<void> => {
    // One at a time: the client that behaves may be slow.
    watching = Infinity
    await options.watch(summary.frames)
    watching = performance.now()
  }
  const worker = async (own: Random): Promise<void> => {
    let connection = await Connection.open(options.port)
    while (summary.frames < options.frames) {
      const frames = Array.from({ length: framesPerBurst }, () => disturb(pool[own.below(pool.length)]!, own))
      const outcome = await connection.burst(frames)
      summary.frames += outcome.taken
      summary.answers += outcome.answers
      if (outcome.ending !== 'open') {
        summary[outcome.ending]++
        connection = await Connection.open(options.port)
      }
      if (performance.now() - watching > 1000) await watch()
    }
    connection.close()
  }
  await Promise.all(
    Array.from({ length: options.connections }, (_, index) => worker(new Random(options.seed + index + 1))),
  )
  return summary
}

/** A request as the declarations make it, with its faults; some are well formed, so that the code behind is reached. */
function sampleFrame(random: Random): Buffer {
  const kinds: Api[] = Object.values(apis)
  if (random.below(20) === 0) return makeProduce(`fuzz-${random.below(5)}`, random.below(3) - 1, random.below(300))
  const api = kinds[random.below(kinds.length)]!
  const version = random.between(...api.versions)
  const body = random.below(2) === 0 ? fuzzBytes(random, api.request, version) : wellFormed(api, random, version)
  const tagged = version >= api.flexible ? Buffer.concat([Buffer.from([0]), body]) : Buffer.from(body)
  return request(api.key, version, 0, tagged)
}

function wellFormed(api: Api, random: Random, version: number): Buffer {
  const writer = new Writer()
  api.request.write(writer, api.request.sample(random, version), version)
  return Buffer.from(writer.take())
}

/** Most frames go as they are; a few get another byte somewhere, and very few a wrong size. */
function disturb(frame: Buffer, random: Random): Buffer {
  const copy = Buffer.from(frame)
  const dice = random.below(100)
  if (dice < 10) copy[12 + random.below(copy.length - 12)] = random.below(256)
  else if (dice < 11) copy[random.below(copy.length)] = random.below(256)
  return copy
}

interface Outcome {
  answers: number
  /** Frames that the broker has answered or refused. */
  taken: number
  ending: 'open' | 'closed' | 'abandoned'
}

class Connection {
  readonly #socket: Socket
  #closed = false
  #wake: () => void = () => undefined
  #bytes: Buffer[] = []
  #size = 0
  #correlation = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    const gone = (): void => {
      this.#closed = true
      this.#wake()
    }
    socket.on('close', gone).on('end', gone).on('error', gone)
    socket.on('data', chunk => {
      this.#bytes.push(chunk)
      this.#size += chunk.length
      this.#wake()
    })
  }

  static async open(port: number): Promise<Connection> {
    const socket = connect({ port, host: '127.0.0.1' })
    const connection = new Connection(socket)
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return connection
  }

  close(): void {
    this.#socket.destroy()
  }

  async burst(frames: Buffer[]): Promise<Outcome> {
    const first = this.#correlation
    for (const frame of frames) frame.writeInt32BE(this.#correlation++, 8)
    this.#socket.write(Buffer.concat(frames))
    const silent = new Set(frames.flatMap((frame, index) => (isSilent(frame) ? [first + index] : [])))
    let next = first
    let answers = 0
    const last = first + frames.length
    for (;;) {
      while (next < last && silent.has(next)) next++
      if (next >= last) return { answers, taken: frames.length, ending: 'open' }
      const answer = this.#answer()
      if (answer !== undefined) {
        // A produce request whose acks were changed on the way may be answered or not: then the next one is.
        const id = answer.readInt32BE(0)
        assert.ok(id >= next && id < last, `an answer to ${id}, but ${next} is next of ${last}`)
        next = id + 1
        answers++
        continue
      }
      if (this.#closed) return this.#end({ answers, taken: next - first + 1, ending: 'closed' })
      if (!(await this.#progress())) return this.#end({ answers, taken: next - first + 1, ending: 'abandoned' })
    }
  }

  #end(outcome: Outcome): Outcome {
    this.#socket.destroy()
    return outcome
  }

  /** The next whole answer without its size, or undefined. */
  #answer(): Buffer | undefined {
    if (this.#size < 4) return undefined
    const bytes = this.#bytes.length === 1 ? this.#bytes[0]! : Buffer.concat(this.#bytes)
    this.#bytes = [bytes]
    const size = bytes.readInt32BE(0)
    assert.ok(size >= 4 && size <= answerBytesMax, `an answer of ${size} bytes`)
    if (bytes.length < 4 + size) return undefined
    this.#bytes = [bytes.subarray(4 + size)]
    this.#size -= 4 + size
    return bytes.subarray(4, 4 + size)
  }

  /** False when nothing came for `patienceMs`. */
  async #progress(): Promise<boolean> {
    if (this.#closed) return true
    const timer = setTimeout(() => this.#wake(), patienceMs)
    const before = this.#size
    await new Promise<void>(resolve => (this.#wake = resolve))
    clearTimeout(timer)
    return this.#closed || this.#size > before
  }
}

/** Produce with acks 0 has no answer; acks follow the transactional id, whose place depends on the version. */
function isSilent(frame: Buffer): boolean {
  if (frame.readInt16BE(4) !== 0) return false
  const version = frame.readInt16BE(6)
  const body = 14 + Math.max(0, frame.readInt16BE(12))
  if (frame.length < body + 8) return false
  try {
    if (version < 9) return frame.readInt16BE(body + 2 + Math.max(0, frame.readInt16BE(body))) === 0
    const length = frame.readUInt8(body + 1)
    return length < 128 && frame.readInt16BE(body + 2 + Math.max(0, length - 1)) === 0
  } catch {
    return false
  }
}
