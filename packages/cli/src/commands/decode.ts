import { protocols } from '@dragoman/broker/protocols'
import { ProtocolError } from '@dragoman/wire'
import { CommandError, defineCommand, UsageError } from '../command.ts'
import { readAll } from '../input.ts'

/** More would not be read by a person. */
const inputBytesMax = 64 * 1024 * 1024

const names = protocols.map(({ name }) => name)

export const decode = defineCommand({
  name: 'decode',
  summary: "Explain a protocol's bytes, field by field.",
  words: [
    { name: 'PROTOCOL', help: `One of ${names.join(', ')}.`, choices: names },
    {
      name: 'HEX',
      help: 'Whole frames in hexadecimal, spaces allowed; without it, or for -, stdin.',
      optional: true,
      many: true,
    },
  ],
  options: {},
  examples: [
    [
      'dragoman decode kafka 00000016001200000000000100086c6962726461746100',
      'A request, as it was caught on the wire.',
    ],
    ['xxd -p capture.bin | dragoman decode kafka -', 'The bytes of a file.'],
  ],
  async run({ words: [name = '', ...rest] }) {
    const entry = protocols.find(candidate => candidate.name === name)
    if (!entry) throw new UsageError(`There is no protocol "${name}"; there is ${names.join(', ')}`)
    const fromInput = rest.length === 0 || (rest.length === 1 && rest[0] === '-')
    const text = fromInput ? (await readAll(process.stdin, inputBytesMax)).toString('latin1') : rest.join('')
    const bytes = parseHex(text)
    const protocol = await entry.load()
    try {
      process.stdout.write(`${protocol.explain(bytes)}\n`)
    } catch (error) {
      if (error instanceof ProtocolError) throw new CommandError(error.message)
      throw error
    }
    return undefined
  },
})

function parseHex(text: string): Buffer {
  const digits = text.replaceAll(/\s|0x/g, '')
  const bad = /[^0-9A-Fa-f]/.exec(digits)
  if (bad) throw new UsageError(`Cannot take "${bad[0]}" for a hexadecimal digit`)
  if (digits.length === 0 || digits.length % 2 !== 0) throw new UsageError('HEX takes two digits for each byte')
  return Buffer.from(digits, 'hex')
}
