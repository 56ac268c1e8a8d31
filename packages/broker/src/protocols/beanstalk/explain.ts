import { ProtocolError } from '@dragoman/wire'
import { answers, commands, crlf, parseArguments, type TextForm } from './messages.ts'

const forms: readonly TextForm[] = [...Object.values(commands), ...Object.values(answers)]

/** Commands and answers for people, a line for each part. Throws `ProtocolError` when the bytes are none. */
export function explainBytes(bytes: Buffer): string {
  const texts: string[] = []
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(crlf, at)
    if (end < 0) throw new ProtocolError(`Cannot take ${bytes.length - at} bytes at the end as a whole line`)
    const line = bytes.toString('latin1', at, end)
    const [form, found] = read(line)
    const names = Object.entries(form.args)
    let number = 0
    texts.push(`${form.prefix.trim()}`)
    for (const [name, kind] of names) texts.push(`  ${name}: ${kind === 'tube' ? found.tube : found.numbers[number++]}`)
    at = end + crlf.length
    if (!form.body) continue
    const size = found.numbers.at(-1) ?? 0
    if (bytes.length < at + size + crlf.length) throw new ProtocolError(`Expected a body of ${size} bytes`)
    texts.push(`  body: ${JSON.stringify(bytes.toString('latin1', at, at + size))}`)
    at += size + crlf.length
  }
  return texts.join('\n')
}

function read(line: string): [TextForm, NonNullable<ReturnType<typeof parseArguments>>] {
  for (const form of forms) {
    if (!line.startsWith(form.prefix)) continue
    const found = parseArguments(form, line.slice(form.prefix.length))
    if (found) return [form, found]
  }
  throw new ProtocolError(`The line ${JSON.stringify(line.slice(0, 80))} is no command and no answer`)
}
