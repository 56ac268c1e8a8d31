import { Random } from '@dragoman/wire'
import type { Form } from './forms.ts'

const keys = ['k1', 'k2', 'k3']
const groups = ['g1', 'g2']
const consumers = ['a', 'b', 'c']

/** What becomes of whole streams. */
export const streamKeyForms: readonly Form[] = [
  random => ['DEL', random.pick(keys)],
  random => ['COPY', random.pick(keys), random.pick(keys), 'REPLACE'],
  random => ['RENAME', random.pick(keys), random.pick(keys)],
]

/** Releases differ in which commands make consumers: all are there before. */
export const streamsFirst: readonly (readonly string[])[] = keys.flatMap(key =>
  groups.flatMap(group => [
    ['XGROUP', 'CREATE', key, group, '0', 'MKSTREAM'],
    ...consumers.map(consumer => ['XGROUP', 'CREATECONSUMER', key, group, consumer]),
  ]),
)

export function streamForm(): Form {
  const commands = new StreamCommands(new Random(0))
  return random => commands.take(random)
}

/** Random commands of streams. Ids are few, so that they meet. */
class StreamCommands {
  #random: Random
  #next = 1

  constructor(random: Random) {
    this.#random = random
  }

  take(random: Random): string[] {
    this.#random = random
    return this.#one(this.#forms)()
  }

  #below(count: number): number {
    return this.#random.below(count)
  }

  #one<T>(list: readonly T[]): T {
    return this.#random.pick(list)
  }

  readonly #key = (): string => this.#one(keys)
  readonly #id = (): string => `${this.#below(60)}${this.#one(['', '-0', '-1', '-2'])}`
  readonly #ids = (): string[] => Array.from({ length: 1 + this.#below(3) }, this.#id)
  readonly #bound = (): string => this.#one([this.#id(), this.#id(), `(${this.#id()}`, '-', '+'])
  readonly #count = (): string[] => (this.#below(3) > 0 ? ['COUNT', String(this.#below(5))] : [])
  readonly #newId = (): string => {
    this.#next += this.#below(2)
    return this.#one([`${this.#next}-${this.#below(4)}`, `${this.#next}-*`, `${this.#next + 1}`, this.#id()])
  }
  readonly #member = (): string[] => [this.#one(groups), this.#one(consumers)]

  readonly #forms: (() => string[])[] = [
    () => [
      'XADD',
      this.#key(),
      ...this.#one([[], [], ['MAXLEN', String(this.#below(20))], ['MINID', this.#id()], ['NOMKSTREAM']]),
      this.#newId(),
      'field',
      String(this.#below(100)),
    ],
    () => ['XADD', this.#key(), this.#newId(), 'a', '1', 'body', '2'],
    () => ['XRANGE', this.#key(), this.#bound(), this.#bound(), ...this.#count()],
    () => ['XREVRANGE', this.#key(), this.#bound(), this.#bound(), ...this.#count()],
    () => ['XDEL', this.#key(), ...this.#ids()],
    () => [
      'XTRIM',
      this.#key(),
      ...this.#one([
        ['MAXLEN', String(this.#below(20))],
        ['MINID', this.#id()],
      ]),
    ],
    () => ['XREAD', ...this.#count(), 'STREAMS', 'k1', this.#key(), this.#id(), this.#one([this.#id(), '$'])],
    () => ['XGROUP', 'SETID', this.#key(), this.#one(groups), this.#one([this.#id(), '$', '0'])],
    () => ['XREADGROUP', 'GROUP', ...this.#member(), ...this.#count(), 'STREAMS', this.#key(), '>'],
    () => ['XREADGROUP', 'GROUP', ...this.#member(), 'NOACK', ...this.#count(), 'STREAMS', this.#key(), '>'],
    () => ['XREADGROUP', 'GROUP', ...this.#member(), ...this.#count(), 'STREAMS', this.#key(), this.#id()],
    () => ['XACK', this.#key(), this.#one(groups), ...this.#ids()],
    () => ['XPENDING', this.#key(), this.#one(groups)],
    () => ['XPENDING', this.#key(), this.#one(groups), this.#bound(), this.#bound(), String(this.#below(6))],
    () => [
      'XCLAIM',
      this.#key(),
      ...this.#member(),
      '0',
      ...this.#ids(),
      ...this.#one([[], ['JUSTID'], ['FORCE'], ['RETRYCOUNT', '7'], ['FORCE', 'JUSTID'], ['LASTID', this.#id()]]),
    ],
    () => ['XAUTOCLAIM', this.#key(), ...this.#member(), '0', this.#bound(), ...this.#one([[], ['COUNT', '2']])],
    () => ['XINFO', 'GROUPS', this.#key()],
    () => ['XLEN', this.#key()],
  ]
}
