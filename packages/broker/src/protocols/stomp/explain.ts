import { ProtocolError } from '@dragoman/wire'
import { FrameDecoder } from './framing.ts'
import { readHeaders } from './headers.ts'

/** Frames for people, a line for each part. Throws `ProtocolError` when the bytes are none. */
export function explainBytes(bytes: Buffer): string {
  const texts: string[] = []
  const decoder = new FrameDecoder({ frameBytesMax: bytes.length })
  decoder.push(bytes, packet => {
    if (packet.kind === 'fault') throw new ProtocolError(packet.problem)
    if (packet.kind === 'beat') return
    const opens = /^(?:CONNECT|STOMP|CONNECTED)[\r\n]/.test(packet.head.toString('latin1', 0, 11))
    const { command, headers } = readHeaders(packet.head, '1.2', opens)
    texts.push(command)
    for (const [name, value] of headers.entries()) texts.push(`  ${name}: ${value}`)
    if (packet.body.length > 0) texts.push(`  body: ${JSON.stringify(packet.body.toString())}`)
  })
  if (decoder.pendingBytes > 0) throw new ProtocolError('The last frame is not whole')
  return texts.length === 0 ? '(a heart-beat)' : texts.join('\n')
}
