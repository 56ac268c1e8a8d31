import { inspect } from 'node:util'
import { ProtocolError, Reader, type Codec } from '@dragoman/wire'
import { FrameDecoder, lengthBytes, skipTaggedFields } from './framing.ts'
import { apis, type Api } from './messages/index.ts'

/**
 * Frames for people: each request by its header; an answer does not say what it answers, so it is shown as each message that
 * it can be, to the last byte. Throws `ProtocolError` when the bytes are no frames.
 */
export function explainFrames(bytes: Buffer): string {
  const texts: string[] = []
  let left = bytes.length
  new FrameDecoder(bytes.length, 4).push(bytes, frame => {
    left -= frame.remaining + lengthBytes
    texts.push(explainFrame(frame.rest()))
  })
  if (left > 0) throw new ProtocolError(`Cannot take ${left} bytes at the end as a whole frame`)
  return texts.join('\n\n')
}

function explainFrame(frame: Buffer): string {
  const asRequest = explainRequest(new Reader(frame))
  if (asRequest !== undefined) return asRequest
  const texts = Object.values(apis).flatMap(api => explainAnswer(api, frame))
  if (texts.length === 0) throw new ProtocolError('The frame is no request or answer that is known here')
  return texts.join('\n')
}

function explainRequest(reader: Reader): string | undefined {
  try {
    const key = reader.i16()
    const api: Api | undefined = Object.values(apis).find(candidate => candidate.key === key)
    const version = reader.i16()
    if (api === undefined || version < api.versions[0] || version > api.versions[1]) return undefined
    const correlationId = reader.i32()
    const clientId = reader.nullableString16()
    if (version >= api.flexible) skipTaggedFields(reader)
    const head = `${api.name}Request version ${version}, correlation id ${correlationId}, client id ${clientId ?? '(null)'}`
    return `${head}\n${explainBody(api.request, reader, version)}`
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** The newest version in which the bytes are this answer, if there is one. */
function explainAnswer(api: Api, frame: Buffer): string[] {
  for (let version = api.versions[1]; version >= api.versions[0]; version--) {
    try {
      const reader = new Reader(frame)
      const correlationId = reader.i32()
      if (version >= api.flexible && api.key !== apis.apiVersions.key) skipTaggedFields(reader)
      const body = explainBody(api.response, reader, version)
      return [`${api.name}Response version ${version}, correlation id ${correlationId}\n${body}`]
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
  }
  return []
}

function explainBody(codec: Codec<unknown>, reader: Reader, version: number): string {
  const value = codec.read(reader, version)
  reader.expectEnd()
  return inspect(value, { depth: 12, breakLength: 120 })
}
