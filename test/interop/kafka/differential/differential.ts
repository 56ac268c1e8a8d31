import { inspect } from 'node:util'
import type { Codec } from '@dragoman/wire'
import { KafkaConnection } from '../../../../packages/broker/src/protocols/kafka/client.ts'
import { apis, type Api } from '../../../../packages/broker/src/protocols/kafka/messages/index.ts'
import { realRuntime } from '../../../../packages/broker/src/runtime/real/real-runtime.ts'
import { adminCases } from './admin-cases.ts'
import { reasonFor, unusedReasons } from './allowed.ts'
import type { Case, Known } from './cases.ts'
import { differences, type Difference } from './compare.ts'

export interface DifferentialOptions {
  /** `HOST:PORT` of Apache Kafka. */
  theirs: string
  /** `HOST:PORT` of the broker under test. Both are fresh: the cases make their own topics. */
  ours: string
  /** Only cases with this in their name are told; all are asked, as later ones build on earlier ones. */
  only: string
  /** Prints their answers. */
  show: boolean
  print(line: string): void
}

/** No answer takes longer than this. */
const answerMsMax = 15_000

/** Asks both brokers the same, and resolves with the number of differences that have no reason. */
export async function runDifferential({ theirs, ours, only, show, print }: DifferentialOptions): Promise<number> {
  const one = await Side.connect(theirs)
  const other = await Side.connect(ours)
  let unexplained = 0
  let explained = 0
  const cases = adminCases()
  for (const asked of cases) {
    const [their, our] = await Promise.all([one.ask(asked), other.ask(asked)])
    if (!asked.name.includes(only)) continue
    if (show) print(`${asked.name}\n${inspect(their, { depth: 12, breakLength: 160, maxArrayLength: 400 })}`)
    for (const found of differences(their, our)) {
      if (reasonFor(asked.name, found) === undefined) {
        unexplained++
        print(`${asked.name}\n    ${shown(found)}`)
      } else explained++
    }
  }
  one.close()
  other.close()
  print(`${cases.length} requests, ${unexplained} differences, ${explained} with a reason`)
  if (only === '') for (const reason of unusedReasons()) print(`No longer needed: ${reason}`)
  return unexplained
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
