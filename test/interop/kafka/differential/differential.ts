import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import type { Codec } from '@dragoman/wire'
import { KafkaConnection } from '../../../../packages/broker/src/protocols/kafka/client.ts'
import { apis, type Api } from '../../../../packages/broker/src/protocols/kafka/messages/index.ts'
import { realRuntime } from '../../../../packages/broker/src/runtime/real/real-runtime.ts'
import { adminCases } from './admin-cases.ts'
import { reasonFor } from './allowed.ts'
import type { Case, Known } from './cases.ts'
import { differences, type Difference } from './compare.ts'

export interface DifferentialOptions {
  /** `HOST:PORT` of Apache Kafka. */
  theirs: string
  /** `HOST:PORT` of the broker under test. Both are fresh: the cases make their own topics. */
  ours: string
  /** Is told of each case, of Kafka's answer, and of the differences that have no reason, in words. */
  compared(asked: Case, their: unknown, unexplained: string[]): void
}

/** No answer takes longer than this. */
const answerMsMax = 15_000

/** Kafka lets changes be seen a moment after it has answered: what only asks may be asked again. */
const changesNothing = /^(describe|list|metadata|offsetFor)/
const asksAgainMax = 10
const asksAgainMs = 200

/** Asks both brokers the same, one request after the other. Resolves with the number of differences that have a reason. */
export async function runDifferential({ theirs, ours, compared }: DifferentialOptions): Promise<number> {
  const one = await Side.connect(theirs)
  const other = await Side.connect(ours)
  let explained = 0
  for (const asked of adminCases()) {
    let [their, our] = await Promise.all([one.ask(asked), other.ask(asked)])
    let found = differences(their, our)
    const isUnexplained = (difference: Difference): boolean => reasonFor(asked.name, difference) === undefined
    for (let more = asksAgainMax; more > 0 && changesNothing.test(asked.api) && found.some(isUnexplained); more--) {
      await sleep(asksAgainMs)
      ;[their, our] = await Promise.all([one.ask(asked), other.ask(asked)])
      found = differences(their, our)
    }
    const unexplained = found.filter(isUnexplained)
    explained += found.length - unexplained.length
    compared(asked, their, unexplained.map(shown))
  }
  one.close()
  other.close()
  return explained
}

const shown = ({ path, theirs, ours }: Difference): string =>
  `${path}: Kafka ${inspect(theirs, { breakLength: 200, depth: 6 })}, here ${inspect(ours, { breakLength: 200, depth: 6 })}`

/** One of the brokers. A connection that it closes is an answer, too, and is opened again. */
class Side {
  readonly #address: string
  #connection: KafkaConnection

  static async connect(address: string): Promise<Side> {
    return new Side(address, await open(address))
  }

  private constructor(address: string, connection: KafkaConnection) {
    this.#address = address
    this.#connection = connection
  }

  async ask(asked: Case): Promise<unknown> {
    const api: Api = apis[asked.api]
    const known = await this.#known()
    try {
      return await inTime(this.#connection.request(api as Api<Codec<unknown>>, asked.body(known), asked.version))
    } catch (error) {
      this.#connection.close()
      this.#connection = await open(this.#address)
      return { noAnswer: error instanceof RangeError || error instanceof TypeError ? String(error) : 'closed' }
    }
  }

  close(): void {
    this.#connection.close()
  }

  async #known(): Promise<Known> {
    const { topics } = await this.#connection.request(apis.metadata, { topics: null }, 12)
    return { brokerId: 1, topicIds: new Map(topics.map(({ name, topicId }) => [name ?? '', topicId])) }
  }
}

async function open(address: string): Promise<KafkaConnection> {
  const [host = '', port] = address.split(':')
  return KafkaConnection.open(await realRuntime().network.connect({ host, port: Number(port) }))
}

async function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer')), answerMsMax)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
