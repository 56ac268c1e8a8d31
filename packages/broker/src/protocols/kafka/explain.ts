import {
  explainValue,
  formatRows,
  i16,
  i32,
  message,
  nullableString16,
  ProtocolError,
  Reader,
  type Codec,
  type ExplainRow,
} from '@dragoman/wire'
import { FrameDecoder, lengthBytes } from './framing.ts'
import { apis, type Api } from './messages/index.ts'

/** In version 0 as before the flexible versions, in version 1 with tagged fields. */
const requestHeader = message(
  { name: 'RequestHeader', versions: [0, 1], flexible: 1 },
  { apiKey: i16, apiVersion: i16, correlationId: i32, clientId: nullableString16 },
)
const answerHeader = message({ name: 'ResponseHeader', versions: [0, 1], flexible: 1 }, { correlationId: i32 })

/**
 * Frames for people, a line for each field: offset, bytes, name, value. A request is known by its header; an answer does not
 * say what it answers, so it is shown as each message that it can be, to the last byte. Throws `ProtocolError` when the bytes
 * are no frames.
 */
export function explainFrames(bytes: Buffer): string {
  const texts: string[] = []
  let left = bytes.length
  new FrameDecoder({ frameBytesMax: bytes.length }, answerBytesMin).push(bytes, frame => {
    left -= frame.remaining + lengthBytes
    texts.push(explainFrame(frame.rest()))
  })
  if (left > 0) throw new ProtocolError(`Cannot take ${left} bytes at the end as a whole frame`)
  return texts.join('\n\n')
}

const answerBytesMin = 4

function explainFrame(frame: Buffer): string {
  const asRequest = explainRequest(frame)
  if (asRequest !== undefined && asRequest.whole) return asRequest.text
  const asAnswers = Object.values(apis).flatMap(api => explainAnswer(api, frame))
  const texts = asAnswers.length === 0 && asRequest !== undefined ? [asRequest.text] : asAnswers
  if (texts.length === 0) throw new ProtocolError('The frame is no request or answer that is known here')
  return texts.join('\n\n')
}

/** Undefined when the header names no request that is known here. A request that is damaged is shown up to there. */
function explainRequest(frame: Buffer): { text: string; whole: boolean } | undefined {
  if (frame.length < 8) return undefined
  const version = frame.readInt16BE(2)
  const api: Api | undefined = Object.values(apis).find(({ key }) => key === frame.readInt16BE())
  if (api === undefined || version < api.versions[0] || version > api.versions[1]) return undefined
  const header = [requestHeader, version >= api.flexible ? 1 : 0] as const
  const { rows, error } = explainParts(frame, [header, [api.request, version]])
  const title = `${api.name}Request version ${version}, correlation id ${frame.readInt32BE(4)}`
  const text = `${title}\n${formatRows(rows)}`
  return error === undefined ? { text, whole: true } : { text: `${text}\n${error.message}`, whole: false }
}

/** The answer in the newest version that the bytes can be, if there is one. */
function explainAnswer(api: Api, frame: Buffer): string[] {
  for (let version = api.versions[1]; version >= api.versions[0]; version--) {
    const tagged = version >= api.flexible && api.key !== apis.apiVersions.key
    const { rows, error } = explainParts(frame, [
      [answerHeader, tagged ? 1 : 0],
      [api.response, version],
    ])
    if (error !== undefined) continue
    return [`${api.name}Response version ${version}, correlation id ${frame.readInt32BE()}\n${formatRows(rows)}`]
  }
  return []
}

type Part = readonly [codec: Codec<unknown>, version: number]

/** The rows of all parts, or up to the first fault. */
function explainParts(frame: Buffer, parts: readonly Part[]): { rows: ExplainRow[]; error?: ProtocolError } {
  const reader = new Reader(frame)
  const rows: ExplainRow[] = []
  try {
    for (const [codec, version] of parts) explainValue(codec, reader, rows, version)
    reader.expectEnd()
    return { rows }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { rows, error }
  }
}
