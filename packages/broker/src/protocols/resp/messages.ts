import { bytes32, list, ProtocolError, struct, type Codec, type Random, type Reader, type Writer } from '@dragoman/wire'
import type { CommandSpec } from './commands/command.ts'
import { commands } from './commands/table.ts'
import { CommandDecoder, type Command } from './framing.ts'

/** The words of a command, its name first. */
export interface Words {
  words: Buffer[]
}

const limits = { frameBytesMax: 2 ** 30 }
const { node } = struct({ words: list(bytes32) })

/** Words as they are sent: an array of bulk strings. */
export function encodeCommand(words: readonly (string | Uint8Array)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)]
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, crlf)
  }
  return Buffer.concat(parts)
}

const crlf = Buffer.from('\r\n')

/** A whole command as a codec, for docs, fuzz and `dragoman decode`. */
class CommandCodec implements Codec<Words> {
  readonly node = node
  readonly #spec: CommandSpec
  readonly #name: readonly string[]

  constructor(spec: CommandSpec, name: readonly string[]) {
    this.#spec = spec
    this.#name = name
  }

  read(reader: Reader): Words {
    const found: Command[] = []
    const decoder = new CommandDecoder(limits)
    let problem: string | undefined
    decoder.push(reader.rest(), packet => {
      found.push(...packet.commands.map(command => command.map(part => Buffer.from(part))))
      problem ??= packet.problem
    })
    const [words] = found
    if (!words || problem !== undefined || found.length > 1 || decoder.pendingBytes > 0) {
      throw new ProtocolError(problem ?? 'Expected one whole command')
    }
    return { words: [...words] }
  }

  write(writer: Writer, { words }: Words): void {
    writer.bytes(encodeCommand(words))
  }

  sample(random: Random): Words {
    const { arity } = this.#spec
    const least = Math.abs(arity)
    const count = arity >= 0 || random.chance(0.3) ? least : least + random.below(6)
    const words = this.#name.map(word => Buffer.from(word))
    while (words.length < count)
      words.push(Buffer.from(random.chance(0.9) ? random.pick(someWords) : random.bytes(random.below(40))))
    return { words }
  }
}

/** What arguments are made of: keys, numbers and options. */
const someWords = [
  ...[
    'a',
    'b',
    'c',
    'l',
    's',
    '*',
    '$',
    '>',
    '0',
    '1',
    '-1',
    '2',
    '100',
    '-',
    '+',
    '0-1',
    '5-5',
    '0.01',
    'x'.repeat(300),
  ],
  ...['LEFT', 'RIGHT', 'COUNT', 'EX', 'PX', 'NX', 'XX', 'GET', 'BEFORE', 'AFTER', 'RANK', 'MAXLEN', 'MATCH', 'STREAMS'],
  ...['BLOCK', 'GROUP', 'MKSTREAM', 'NOACK', '~', '=', 'LIMIT', 'IDLE', 'FORCE', 'JUSTID', 'REPLACE', 'g', 'consumer'],
]

function codecsOf(spec: CommandSpec, names: readonly string[]): [string, CommandCodec][] {
  const { run, subcommands = [] } = spec
  const own: [string, CommandCodec][] = run ? [[names.join(' ').toUpperCase(), new CommandCodec(spec, names)]] : []
  return [...own, ...subcommands.flatMap(each => codecsOf(each, [...names, each.name]))]
}

/** Every command by its name. */
export const messages: Record<string, Codec<Words>> = Object.fromEntries(
  commands.flatMap(spec => codecsOf(spec, [spec.name])),
)
