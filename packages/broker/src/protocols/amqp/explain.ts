import { explainValue, formatRows, ProtocolError, Reader, struct, u16, u32, u8, type ExplainRow } from '@dragoman/wire'
import { emptyFrameBytes, frameEnd, frameHeadBytes, frameTypes, protocolHeader } from './framing.ts'
import { contentHeader } from './messages/basic.ts'
import { methodsById } from './messages/index.ts'

const head = struct({ type: u8, channel: u16, size: u32 })
const methodHead = struct({ classId: u16, methodId: u16 })

/** Whole frames of either direction, with the protocol header if they begin with it. Throws `ProtocolError` when the bytes are none. */
export function explainFrames(bytes: Buffer): string {
  const texts: string[] = []
  let at = 0
  if (bytes.subarray(0, 4).toString('latin1') === 'AMQP') {
    if (bytes.length < protocolHeader.length) throw new ProtocolError('The protocol header is cut off')
    const [protocol, major, minor, revision] = bytes.subarray(4, protocolHeader.length)
    texts.push(`protocol header ${protocol}-${major}-${minor}-${revision}`)
    at = protocolHeader.length
  }
  while (at < bytes.length) at = explainFrame(bytes, at, texts)
  return texts.join('\n\n')
}

function explainFrame(bytes: Buffer, at: number, texts: string[]): number {
  if (bytes.length - at < emptyFrameBytes) throw new ProtocolError(`Cannot take ${bytes.length - at} bytes as a frame`)
  const type = bytes[at]
  const size = bytes.readUInt32BE(at + 3)
  const end = at + frameHeadBytes + size
  if (end >= bytes.length) throw new ProtocolError(`Expected a frame of ${size} bytes at byte ${at}`)
  if (bytes[end] !== frameEnd) throw new ProtocolError(`Expected the end of a frame at byte ${end}, got ${bytes[end]}`)
  const reader = new Reader(bytes, at, end)
  const rows: ExplainRow[] = []
  explainValue(head, reader, rows)
  let title = titles[type ?? 0] ?? `frame of type ${type}`
  if (type === frameTypes.method) {
    const method = methodsById.get(bytes.readUInt32BE(reader.at))
    explainValue(methodHead, reader, rows)
    title = method?.name ?? 'unknown method'
    if (method) explainValue(method.codec, reader, rows)
  } else if (type === frameTypes.header) explainValue(contentHeader, reader, rows)
  if (!reader.done()) {
    const from = reader.at
    rows.push({
      at: from,
      bytes: reader.rest(),
      path: type === frameTypes.body ? 'body' : '(left over)',
      value: `${end - from} bytes`,
    })
  }
  texts.push(`${title}\n${formatRows(rows)}`)
  return end + 1
}

const titles: Record<number, string> = {
  [frameTypes.header]: 'content header',
  [frameTypes.body]: 'content body',
  [frameTypes.heartbeat]: 'heartbeat',
}
