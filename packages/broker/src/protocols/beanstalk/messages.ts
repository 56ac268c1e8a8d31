import {
  bytes32,
  i64,
  ProtocolError,
  string8,
  struct,
  u32,
  type Codec,
  type Random,
  type Reader,
  type Writer,
} from '@dragoman/wire'

/**
 * Every command and every answer, declared once [protocol.txt]. All are lines of text that end in CR LF; some have a body behind
 * them, whose size the line tells, and that ends in CR LF, too.
 */
export interface TextForm {
  /** What the line begins with, up to the first argument. */
  readonly prefix: string
  readonly args: Readonly<Record<string, ArgKind>>
  /** The last argument is the size of a body. */
  readonly body?: true
  /** Whatever stands behind the last argument does not matter. */
  readonly loose?: true
}

/** `seconds` to `u64` are decimal numbers without a sign. */
export type ArgKind = 'u32' | 'seconds' | 'timeout' | 'u64' | 'count' | 'tube' | 'text'

/**
 * Commands, in the order in which the beginnings of lines are compared: a line belongs to the first whose prefix it has, and is malformed
 * when the rest does not fit.
 */
export const commands = {
  put: { prefix: 'put ', args: { priority: 'u32', delay: 'seconds', ttr: 'seconds', bytes: 'u32' }, body: true },
  peek: { prefix: 'peek ', args: { id: 'u64' } },
  'peek-ready': { prefix: 'peek-ready', args: {} },
  'peek-delayed': { prefix: 'peek-delayed', args: {} },
  'peek-buried': { prefix: 'peek-buried', args: {} },
  'reserve-with-timeout': { prefix: 'reserve-with-timeout ', args: { seconds: 'timeout' }, loose: true },
  'reserve-job': { prefix: 'reserve-job ', args: { id: 'u64' } },
  reserve: { prefix: 'reserve', args: {} },
  delete: { prefix: 'delete ', args: { id: 'u64' } },
  release: { prefix: 'release ', args: { id: 'u64', priority: 'u32', delay: 'seconds' } },
  bury: { prefix: 'bury ', args: { id: 'u64', priority: 'u32' } },
  kick: { prefix: 'kick ', args: { bound: 'count' }, loose: true },
  'kick-job': { prefix: 'kick-job ', args: { id: 'u64' } },
  touch: { prefix: 'touch ', args: { id: 'u64' } },
  'stats-job': { prefix: 'stats-job ', args: { id: 'u64' } },
  'stats-tube': { prefix: 'stats-tube ', args: { tube: 'tube' } },
  stats: { prefix: 'stats', args: {} },
  use: { prefix: 'use ', args: { tube: 'tube' } },
  watch: { prefix: 'watch ', args: { tube: 'tube' } },
  ignore: { prefix: 'ignore ', args: { tube: 'tube' } },
  'list-tubes-watched': { prefix: 'list-tubes-watched', args: {} },
  'list-tube-used': { prefix: 'list-tube-used', args: {} },
  'list-tubes': { prefix: 'list-tubes', args: {} },
  quit: { prefix: 'quit', args: {}, loose: true },
  'pause-tube': { prefix: 'pause-tube', args: { tube: 'tube', delay: 'seconds' } },
} as const satisfies Record<string, TextForm>

export const answers = {
  INSERTED: { prefix: 'INSERTED ', args: { id: 'u64' } },
  'BURIED id': { prefix: 'BURIED ', args: { id: 'u64' } },
  USING: { prefix: 'USING ', args: { tube: 'tube' } },
  RESERVED: { prefix: 'RESERVED ', args: { id: 'u64', bytes: 'u32' }, body: true },
  FOUND: { prefix: 'FOUND ', args: { id: 'u64', bytes: 'u32' }, body: true },
  OK: { prefix: 'OK ', args: { bytes: 'u32' }, body: true },
  WATCHING: { prefix: 'WATCHING ', args: { count: 'u32' } },
  'KICKED count': { prefix: 'KICKED ', args: { count: 'u32' } },
  KICKED: { prefix: 'KICKED', args: {} },
  BURIED: { prefix: 'BURIED', args: {} },
  DELETED: { prefix: 'DELETED', args: {} },
  RELEASED: { prefix: 'RELEASED', args: {} },
  TOUCHED: { prefix: 'TOUCHED', args: {} },
  PAUSED: { prefix: 'PAUSED', args: {} },
  NOT_FOUND: { prefix: 'NOT_FOUND', args: {} },
  NOT_IGNORED: { prefix: 'NOT_IGNORED', args: {} },
  TIMED_OUT: { prefix: 'TIMED_OUT', args: {} },
  DEADLINE_SOON: { prefix: 'DEADLINE_SOON', args: {} },
  OUT_OF_MEMORY: { prefix: 'OUT_OF_MEMORY', args: {} },
  INTERNAL_ERROR: { prefix: 'INTERNAL_ERROR', args: {} },
  BAD_FORMAT: { prefix: 'BAD_FORMAT', args: {} },
  UNKNOWN_COMMAND: { prefix: 'UNKNOWN_COMMAND', args: {} },
  EXPECTED_CRLF: { prefix: 'EXPECTED_CRLF', args: {} },
  JOB_TOO_BIG: { prefix: 'JOB_TOO_BIG', args: {} },
  DRAINING: { prefix: 'DRAINING', args: {} },
} as const satisfies Record<string, TextForm>

export type CommandName = keyof typeof commands
export type AnswerName = keyof typeof answers

/** A line taken apart: the numbers among its arguments in their order, and its name of a tube. */
export interface TextLine {
  numbers: number[]
  tube: string
  body?: Buffer
}

export interface Command extends TextLine {
  name: CommandName
}

const tubeCharacters = 'A-Za-z0-9\\-+/;.$_()'
const tubeBytesMax = 200
const isTube = new RegExp(`^(?!-)[${tubeCharacters}]{1,${tubeBytesMax}}$`)

export const isTubeName = (text: string): boolean => isTube.test(text)

const patternOf = { tube: `([${tubeCharacters}]+)`, text: '(.+)', count: '(?:[+]?(\\d+)|-(\\d+))' }
const greatest = { u32: 2 ** 32 - 1, seconds: 2 ** 32 - 1, timeout: 2 ** 31 - 1, count: Infinity }
const u64Max = 2n ** 64n - 1n

const kinds = new Map<TextForm, readonly ArgKind[]>()

function kindsOf(form: TextForm): readonly ArgKind[] {
  const known = kinds.get(form)
  if (known) return known
  const made = Object.values(form.args)
  kinds.set(form, made)
  return made
}

const expressions = new Map<TextForm, RegExp>()

function expressionOf(form: TextForm): RegExp {
  const known = expressions.get(form)
  if (known) return known
  // A name alone is all of the rest, blanks and all, as it must be a name; numbers may have blanks before them.
  const parts = kindsOf(form).map(kind => ` *${kind in patternOf ? patternOf[kind as 'tube'] : '(\\d+)'}`)
  const made = new RegExp(`^${parts.join('')}${form.loose ? '' : '$'}`, 's')
  expressions.set(form, made)
  return made
}

/** The arguments of a line without its prefix and its end; undefined when they do not fit. */
export function parseArguments(form: TextForm, rest: string): TextLine | undefined {
  const kinds = kindsOf(form)
  if (kinds.length === 0) return form.loose || rest === '' ? { numbers: [], tube: '' } : undefined
  if (kinds[0] === 'tube' && kinds.length === 1) return isTube.test(rest) ? { numbers: [], tube: rest } : undefined
  const numbers = plainNumbers(kinds, rest)
  if (numbers) return { numbers, tube: '' }
  const found = expressionOf(form).exec(rest)
  if (!found) return undefined
  const line: TextLine = { numbers: [], tube: '' }
  for (const [index, kind] of kinds.entries()) {
    const text = found[index + 1] ?? ''
    if (kind === 'tube') {
      if (!isTube.test(text)) return undefined
      line.tube = text
    } else if (kind === 'count') {
      // A negative one is a very large one: strtoul.
      line.numbers.push(found[1] === undefined ? 2 ** 32 - 1 : Number(text))
    } else {
      const value = Number(text)
      if (kind === 'u64' ? text.length > 19 && BigInt(text) > u64Max : kind !== 'text' && value > greatest[kind])
        return undefined
      line.numbers.push(value)
    }
  }
  return line
}

/** Numbers as nearly every client writes them: of few digits, with one blank between them. Undefined: it has to be looked at closely. */
function plainNumbers(kinds: readonly ArgKind[], rest: string): number[] | undefined {
  const numbers: number[] = []
  let at = 0
  for (const kind of kinds) {
    if (kind === 'tube' || kind === 'text' || kind === 'count') return undefined
    if (numbers.length > 0 && rest.charCodeAt(at++) !== 32) return undefined
    const from = at
    let value = 0
    for (; at < rest.length; at++) {
      const digit = rest.charCodeAt(at) - 48
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    if (at === from || at - from > 15 || (kind !== 'u64' && value > greatest[kind])) return undefined
    numbers.push(value)
  }
  return at === rest.length ? numbers : undefined
}

const byPrefix = Object.entries(commands) as [CommandName, TextForm][]
const byFirstByte = new Map<string, [CommandName, TextForm][]>()
for (const entry of byPrefix) {
  const first = entry[1].prefix[0]!
  byFirstByte.set(first, [...(byFirstByte.get(first) ?? []), entry])
}

/** A command line without its end. */
export function parseCommand(line: string): Command | 'BAD_FORMAT' | 'UNKNOWN_COMMAND' {
  if (line.includes('\0')) return 'BAD_FORMAT'
  for (const [name, form] of byFirstByte.get(line[0] ?? '') ?? []) {
    if (!line.startsWith(form.prefix)) continue
    const found = parseArguments(form, line.slice(form.prefix.length))
    return found ? { name, numbers: found.numbers, tube: found.tube } : 'BAD_FORMAT'
  }
  return 'UNKNOWN_COMMAND'
}

/** The line without a body, with its end. */
export function encodeLine(form: TextForm, numbers: readonly number[], tube: string): Buffer {
  return Buffer.from(lineOf(form, numbers, tube), 'latin1')
}

function lineOf(form: TextForm, numbers: readonly number[], tube: string): string {
  let line = form.prefix
  let next = 0
  let needsBlank = !line.endsWith(' ')
  for (const kind of kindsOf(form)) {
    if (needsBlank) line += ' '
    line += kind === 'tube' ? tube : (numbers[next++] ?? 0)
    needsBlank = true
  }
  return `${line}\r\n`
}

/** The line, and the body behind it if the form has one. */
export function encode(form: TextForm, numbers: readonly number[], tube: string, body: Uint8Array): Buffer {
  if (!form.body) return encodeLine(form, numbers, tube)
  const line = lineOf(form, numbers, tube)
  const bytes = Buffer.allocUnsafe(line.length + body.length + crlf.length)
  bytes.write(line, 0, 'latin1')
  bytes.set(body, line.length)
  bytes.set(crlf, line.length + body.length)
  return bytes
}

export const crlf = Buffer.from('\r\n')
const noBytes = Buffer.alloc(0)

const nodeOf = { u32, seconds: u32, timeout: u32, u64: i64, count: u32, tube: string8, text: string8 }

/** A whole message as a codec, for docs, fuzz and `dragoman decode`. */
class TextCodec implements Codec<TextLine> {
  readonly form: TextForm
  readonly node

  constructor(form: TextForm) {
    this.form = form
    const fields = Object.entries(form.args).map(([name, kind]) => [name, nodeOf[kind]] as const)
    this.node = struct(Object.fromEntries(form.body ? [...fields, ['body', bytes32] as const] : fields)).node
  }

  read(reader: Reader): TextLine {
    const bytes = reader.rest()
    const end = bytes.indexOf(crlf)
    const text = bytes.toString('latin1', 0, Math.max(0, end))
    const { prefix, body } = this.form
    const line = end >= 0 && text.startsWith(prefix) ? parseArguments(this.form, text.slice(prefix.length)) : undefined
    if (!line) throw new ProtocolError(`Expected a line that begins with "${prefix}" and its arguments`)
    if (!body) return line
    const from = end + crlf.length
    const to = from + (line.numbers.at(-1) ?? 0)
    if (bytes.length !== to + crlf.length || !bytes.subarray(to).equals(crlf))
      throw new ProtocolError('Expected a body of the size in the line, and CR LF behind it')
    return { ...line, body: bytes.subarray(from, to) }
  }

  write(writer: Writer, value: TextLine): void {
    writer.bytes(encode(this.form, value.numbers, value.tube, value.body ?? noBytes))
  }

  sample(random: Random): TextLine {
    const line: TextLine = { numbers: [], tube: '' }
    if (this.form.body) line.body = random.bytes(random.below(random.pick([5, 300])))
    const kinds = kindsOf(this.form)
    kinds.forEach((kind, index) => {
      if (kind === 'tube') line.tube = random.pick(['default', 'a', 'x+y/z;1.$_()', 't'.repeat(tubeBytesMax)])
      else if (line.body && index === kinds.length - 1) line.numbers.push(line.body.length)
      else line.numbers.push(random.chance(0.7) ? random.below(6) : random.u32() >>> 1)
    })
    return line
  }
}

const named = (prefix: string, forms: Readonly<Record<string, TextForm>>): [string, TextCodec][] =>
  Object.entries(forms).map(([name, form]) => [`${prefix}${name}`, new TextCodec(form)])

/** Every message by name. */
export const messages: Record<string, Codec<TextLine>> = Object.fromEntries([
  ...named('', commands),
  ...named('answer ', answers),
])
