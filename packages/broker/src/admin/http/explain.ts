import { ProtocolError } from '@dragoman/wire'
import { RequestDecoder, type Packet } from './framing.ts'

/** Requests for people, a line for each part. Throws `ProtocolError` when the bytes are none. */
export function explainBytes(bytes: Buffer): string {
  const packets: Packet[] = []
  const decoder = new RequestDecoder({ frameBytesMax: bytes.length })
  decoder.push(bytes, packet => packets.push(packet))
  const lines = packets.flatMap(packet => {
    if (packet.kind === 'broken') throw new ProtocolError(packet.reason)
    if (packet.kind === 'body') return [`  body: ${JSON.stringify(packet.body.toString())}`]
    const { method, target, headers } = packet.request
    return [`${method} ${target}`, ...Array.from(headers, ([name, value]) => `  ${name}: ${value}`)]
  })
  if (decoder.pendingBytes > 0 || packets.length === 0) throw new ProtocolError('The request is cut off')
  return lines.join('\n')
}
