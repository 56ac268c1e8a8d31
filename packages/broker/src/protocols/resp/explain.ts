import { ProtocolError } from '@dragoman/wire'
import { value, type RespValue } from './value.ts'

/** Values for people, a line for each. Throws `ProtocolError` when the bytes are none. */
export function explainBytes(bytes: Buffer): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length;) {
    const found = value(bytes, at)
    if (!found) throw new ProtocolError(`Expected a whole value at byte ${at}`)
    tell(found.value, '', lines)
    at = found.end
  }
  return lines.join('\n')
}

function tell(of: RespValue, indent: string, lines: string[]): void {
  if (!('items' in of)) {
    lines.push(`${indent}${of.kind} ${of.text === null ? '(none)' : JSON.stringify(of.text.toString('latin1'))}`)
    return
  }
  lines.push(`${indent}${of.kind} of ${of.items.length}`)
  for (const item of of.items) tell(item, `${indent}  `, lines)
}
