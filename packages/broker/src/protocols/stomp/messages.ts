import {
  bytes32,
  ProtocolError,
  string16,
  struct,
  type Codec,
  type Random,
  type Reader,
  type Writer,
} from '@dragoman/wire'
import { FrameDecoder, type Packet } from './framing.ts'
import { headerLine, readHeaders, type Version } from './headers.ts'

/** One kind of frame: the headers that it has, and whether it has a body. Any others may come, too. */
export interface FrameForm {
  /** Without these it is none. A version that needs none of them is more lenient (see `session.ts`). */
  readonly required: readonly string[]
  readonly optional: readonly string[]
  readonly body?: true
}

/** What clients send. [STOMP-1.2, Client Frames] */
export const commands = {
  CONNECT: { required: [], optional: ['accept-version', 'host', 'login', 'passcode', 'heart-beat', 'client-id'] },
  STOMP: { required: [], optional: ['accept-version', 'host', 'login', 'passcode', 'heart-beat', 'client-id'] },
  SEND: {
    required: ['destination'],
    optional: ['content-type', 'content-length', 'transaction', 'receipt', 'persistent', 'priority', 'expires'],
    body: true,
  },
  SUBSCRIBE: {
    required: ['destination'],
    optional: ['id', 'ack', 'selector', 'receipt', 'prefetch-count', 'durable', 'auto-delete', 'exclusive'],
  },
  UNSUBSCRIBE: { required: [], optional: ['id', 'destination', 'receipt'] },
  ACK: { required: [], optional: ['id', 'message-id', 'subscription', 'transaction', 'receipt'] },
  NACK: { required: [], optional: ['id', 'message-id', 'subscription', 'transaction', 'requeue', 'receipt'] },
  BEGIN: { required: ['transaction'], optional: ['receipt'] },
  COMMIT: { required: ['transaction'], optional: ['receipt'] },
  ABORT: { required: ['transaction'], optional: ['receipt'] },
  DISCONNECT: { required: [], optional: ['receipt'] },
} as const satisfies Record<string, FrameForm>

/** What the broker sends. [STOMP-1.2, Server Frames] */
export const answers = {
  CONNECTED: { required: ['version'], optional: ['heart-beat', 'session', 'server'] },
  MESSAGE: {
    required: ['destination', 'message-id'],
    optional: ['subscription', 'ack', 'redelivered', 'content-type', 'content-length'],
    body: true,
  },
  RECEIPT: { required: ['receipt-id'], optional: [] },
  ERROR: { required: [], optional: ['message', 'receipt-id', 'version', 'content-type', 'content-length'], body: true },
} as const satisfies Record<string, FrameForm>

export type CommandName = keyof typeof commands

const forms: Readonly<Record<string, FrameForm>> = { ...commands, ...answers }

const commandNames: ReadonlySet<string> = new Set(Object.keys(commands))

export const isCommand = (name: string): name is CommandName => commandNames.has(name)

export interface Frame {
  headers: Record<string, string>
  body?: Buffer
}

/** A frame as it goes over the wire. Those that open a connection are never escaped. */
export function encodeFrame(command: string, { headers, body }: Frame, version: Version = '1.2'): Buffer {
  const isPlain = opens(command)
  const lines = Object.entries(headers).map(([name, value]) =>
    isPlain ? `${name}:${value}\n` : headerLine(name, value, version),
  )
  const head = Buffer.from(`${command}\n${lines.join('')}\n`)
  return Buffer.concat([head, body ?? noBytes, end])
}

/** Whether it is part of how a connection begins. */
export const opens = (command: string): boolean =>
  command === 'CONNECT' || command === 'STOMP' || command === 'CONNECTED'

const noBytes = Buffer.alloc(0)
const end = Buffer.alloc(1)

/** The one frame that the bytes are. Throws `ProtocolError`. */
export function decodeFrame(bytes: Buffer, version: Version = '1.2'): Frame & { command: string } {
  const packets: Packet[] = []
  const decoder = new FrameDecoder({ frameBytesMax: bytes.length })
  decoder.push(bytes, packet => packets.push(packet))
  const [packet] = packets
  if (packet?.kind === 'fault') throw new ProtocolError(packet.problem)
  if (packet?.kind !== 'frame' || packets.length > 1 || decoder.pendingBytes > 0) {
    throw new ProtocolError('Expected one whole frame')
  }
  const isOpening = /^(?:CONNECT|STOMP|CONNECTED)[\r\n]/.test(packet.head.toString('latin1', 0, 11))
  const { command, headers } = readHeaders(packet.head, version, isOpening)
  const found: Record<string, string> = {}
  for (const [name, value] of headers.entries()) found[name] ??= value
  const form = Object.hasOwn(forms, command) ? forms[command] : undefined
  if (!form) throw new ProtocolError(`There is no frame ${JSON.stringify(command.slice(0, 40))}`)
  for (const name of form.required) {
    if (found[name] === undefined) throw new ProtocolError(`${command} needs the header ${name}`)
  }
  return { command, headers: found, ...(form.body ? { body: packet.body } : {}) }
}

/** A frame as a codec, for docs, fuzz and `dragoman decode`. */
class FrameCodec implements Codec<Frame> {
  readonly node
  readonly #command: string
  readonly #form: FrameForm

  constructor(command: string, form: FrameForm) {
    this.#command = command
    this.#form = form
    const fields = [...form.required, ...form.optional].map(name => [fieldName(name), string16] as const)
    this.node = struct(Object.fromEntries(form.body ? [...fields, ['body', bytes32] as const] : fields)).node
  }

  read(reader: Reader): Frame {
    const { command, ...frame } = decodeFrame(reader.rest())
    if (command !== this.#command) throw new ProtocolError(`Expected ${this.#command}, got ${command}`)
    return frame
  }

  write(writer: Writer, value: Frame): void {
    writer.bytes(encodeFrame(this.#command, value))
  }

  sample(random: Random): Frame {
    const { required, optional, body } = this.#form
    const bytes = body ? random.bytes(random.below(random.pick([5, 300]))) : undefined
    const headers: Record<string, string> = {}
    for (const name of [...required, ...optional]) {
      if (name === 'content-length' || (!required.includes(name) && random.chance(0.4))) continue
      headers[name] = random.pick(
        samples[name] ?? (opens(this.#command) ? ['1', 'text'] : ['1', '0', '2', 'text', 'with: and \\ and\nä€']),
      )
    }
    // Without its length, a body ends with the first NUL.
    if (bytes) headers['content-length'] = String(bytes.length)
    return { headers, ...(bytes ? { body: bytes } : {}) }
  }
}

/** As a declaration can have it. */
const fieldName = (header: string): string => header.replaceAll(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

/** Values that are there more often than not. */
const samples: Readonly<Record<string, readonly string[]>> = {
  'accept-version': ['1.2', '1.0,1.1,1.2', '1.1', '2.0'],
  version: ['1.2'],
  host: ['/', 'localhost'],
  login: ['guest'],
  passcode: ['guest'],
  'heart-beat': ['0,0', '1000,60000', '5,x'],
  'client-id': ['c1', 'c2'],
  destination: ['/queue/fuzz-1', '/queue/fuzz-2', '/topic/fuzz.a', '/topic/fuzz.#', '/exchange/amq.topic/fuzz.b', '/x'],
  ack: ['auto', 'client', 'client-individual', 'both'],
  id: ['1', '2', '3'],
  subscription: ['1', '2', '3'],
  transaction: ['t1', 't2'],
  persistent: ['true', 'false'],
  durable: ['true', 'false'],
  'auto-delete': ['true', 'false'],
  exclusive: ['true', 'false'],
  requeue: ['true', 'false'],
  redelivered: ['true'],
  priority: ['0', '4', '9', 'x'],
  expires: ['0', '1', '99999999999999'],
  'prefetch-count': ['1', '10', '-1'],
  selector: ["a = 'b'", 'priority > 3', 'a ='],
}

const named = (of: Readonly<Record<string, FrameForm>>): [string, FrameCodec][] =>
  Object.entries(of).map(([name, form]) => [name, new FrameCodec(name, form)])

/** Every frame by name. */
export const messages: Record<string, Codec<Frame>> = Object.fromEntries([...named(commands), ...named(answers)])
