import { RespDriver, type Answer } from '../../packages/broker/src/protocols/resp/driver.ts'
import type { Connection, Network, Runtime } from '../../packages/broker/src/runtime/runtime.ts'
import { respPort } from './client.ts'
import type { Shared } from './workload.ts'

/** Longer than any command waits. */
const answerMsMax = 8_000
/** What was not answered may still be done for so long: cut links, a paused broker. */
const lateMsMax = 25_000
/** What is said when there is no room, by a broker that stops, of a group that an unanswered command has made, and of a key that is gone. */
const passing = ['MISCONF', 'LOADING', 'BUSYGROUP', 'ERR no such key']

/** What became of a command. It was done, if at all, between `askedMs` and `untilMs`. */
export interface Told {
  /** Undefined: it may or may not have been done, and the connection is gone. */
  readonly answer: Answer | undefined
  readonly askedMs: number
  /** Of an answer, when it came. */
  readonly untilMs: number
}

export type Word = string | number | Uint8Array

/** A client of keys: its connection is made when it is needed, and given up when an answer does not come. */
export class RespClient {
  readonly #shared: Shared
  readonly #runtime: Runtime
  readonly #name: string
  #socket: Connection | undefined
  #driver: Promise<RespDriver> | undefined
  #open: RespDriver | undefined
  #connection = 0
  #incarnation = -1

  constructor(shared: Shared, name: string) {
    this.#shared = shared
    this.#name = name
    this.#runtime = shared.simulator.process(name).start()
  }

  /** Which connection is used now: what was sent by an older one may come late. */
  get connection(): number {
    return this.#connection
  }

  /** A refusal that may come is answered as one; any other error is a violation. */
  async ask(...words: Word[]): Promise<Told> {
    const [told] = await this.askAll([words])
    return told!
  }

  /** Sends several commands without waiting for answers. */
  async askAll(commands: readonly (readonly Word[])[]): Promise<Told[]> {
    const { simulator } = this.#shared
    const attempt = (this.#driver ??= this.#inTime(this.#connect()))
    const askedMs = simulator.nowMs
    let driver: RespDriver
    try {
      driver = await attempt
    } catch {
      if (this.#driver === attempt) this.drop()
      await this.#rest()
      return commands.map(() => ({ answer: undefined, askedMs, untilMs: -Infinity }))
    }
    const incarnation = this.#incarnation
    const told = await Promise.all(commands.map(words => this.#askOne(driver, words, incarnation)))
    if (told.some(({ answer }) => answer === undefined)) {
      if (this.#driver === attempt) this.drop()
      await this.#rest()
    }
    return told
  }

  async #askOne(driver: RespDriver, words: readonly Word[], incarnation: number): Promise<Told> {
    const { simulator, broker } = this.#shared
    const askedMs = simulator.nowMs
    try {
      const answer = await this.#inTime(driver.ask(...words))
      simulator.note(`${this.#name}: ${shown(words)}: ${shown([answer].flat())}`)
      if (answer instanceof Error) this.#checkRefusal(answer.message, words)
      return { answer, askedMs, untilMs: simulator.nowMs }
    } catch {
      simulator.note(`${this.#name}: ${shown(words)}: no answer`)
      // What was sent to a process that has ended is not done any more.
      const isOver = broker.incarnation !== incarnation
      return { answer: undefined, askedMs, untilMs: simulator.nowMs + (isOver ? 0 : lateMsMax) }
    }
  }

  #checkRefusal(message: string, words: readonly Word[]): void {
    const { simulator } = this.#shared
    const reason = message.replace('EXECABORT Transaction discarded because of: ', '')
    const isFull = reason.startsWith('MISCONF') && !this.#shared.mayBeFull() && !this.#shared.mayFail()
    // A disk that fails cannot be read.
    if (message.endsWith('cannot be read') && this.#shared.mayFail()) return
    if (isFull || !passing.some(each => reason.startsWith(each)))
      simulator.fail(`${shown(words)} is answered with ${message}`)
  }

  /** What was told unasked on this connection, and not taken yet. */
  takePushes(): Answer[][] {
    return this.#open?.pushes.splice(0) ?? []
  }

  /** Closes the connection as a client that has crashed would. */
  drop(): void {
    this.#socket?.destroy()
    this.#socket = undefined
    this.#driver = undefined
    this.#open = undefined
    this.#connection++
  }

  #rest(): Promise<void> {
    const { simulator } = this.#shared
    return simulator.sleep(20 + simulator.random.float() * 100)
  }

  async #connect(): Promise<RespDriver> {
    const { network } = this.#runtime
    const keeping: Pick<Network, 'connect'> = {
      connect: async address => (this.#socket = await network.connect(address)),
    }
    const driver = await RespDriver.connect({ ...network, ...keeping }, { host: 'broker', port: respPort })
    this.#incarnation = this.#shared.broker.incarnation
    this.#open = driver
    return driver
  }

  #inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.#shared.simulator.at(answerMsMax, 'no answer', () => reject(new Error('no answer')))
      promise.then(resolve, reject).finally(cancel)
    })
  }
}

/** Asks until there is an answer that is no refusal. */
export async function surely(shared: Shared, client: RespClient, ...words: Word[]): Promise<Told & { answer: Answer }> {
  for (;;) {
    const told = await client.ask(...words)
    const { answer } = told
    if (answer !== undefined && !(answer instanceof Error)) return { ...told, answer }
    await shared.simulator.sleep(50)
  }
}

const shown = (words: readonly unknown[]): string =>
  words
    .slice(0, 8)
    .map(word =>
      word instanceof Uint8Array
        ? Buffer.from(word.buffer, word.byteOffset, Math.min(16, word.length)).toString('hex')
        : String(word),
    )
    .join(' ')

/** How long a client rests after each task, at the most: mostly the shorter time; and while there is so much that others must catch up, seconds. */
export interface Pauses {
  readonly shortMs: number
  readonly longMs: number
  isMuch?(): boolean
}

const catchUpMs = 3_000

/** A client that does a task again and again until the world ends. It gives up its connection now and then. */
export async function repeat(
  shared: Shared,
  name: string,
  { shortMs, longMs, isMuch }: Pauses,
  task: (client: RespClient) => Promise<void>,
): Promise<void> {
  const { random } = shared.simulator
  const client = new RespClient(shared, name)
  while (!shared.isEnding) {
    await task(client)
    shared.operations++
    if (random.chance(0.01)) client.drop()
    await shared.simulator.sleep(
      random.float() * (isMuch?.() === true ? catchUpMs : random.chance(0.1) ? longMs : shortMs),
    )
  }
  client.drop()
}
