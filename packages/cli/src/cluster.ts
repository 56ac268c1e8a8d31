import { KafkaConnection, LoginRefused } from '@dragoman/broker/kafka-client'
import { apis, type Api } from '@dragoman/broker/kafka-messages'
import { codes } from '@dragoman/broker/kafka-errors'
import { showHostPort } from '@dragoman/broker/options'
import { realRuntime } from '@dragoman/broker/runtime'
import { ProtocolError, type Codec, type Infer, type Write } from '@dragoman/wire'
import { brokerDefault, loginOf, tlsOf, type BrokerTarget } from './broker-options.ts'
import { CommandError } from './command.ts'
import { check } from './errors.ts'

const requestMsMax = 30_000
const connectMsMax = 10_000

export interface TopicPartitions {
  topic: string
  id: string
  partitions: number[]
}

/** The connection of a command to its broker. */
export class Cluster {
  readonly target: BrokerTarget
  readonly #connection: KafkaConnection

  private constructor(target: BrokerTarget, connection: KafkaConnection) {
    this.target = target
    this.#connection = connection
  }

  /** Rejects with `CommandError` when there is no broker. */
  static async connect(target: BrokerTarget = {}): Promise<Cluster> {
    const { broker: address = brokerDefault } = target
    const where = showHostPort(address)
    const { network, random } = realRuntime()
    const tls = await tlsOf(target)
    const login = await loginOf(target, random)
    let drop: (() => void) | undefined
    try {
      const open = network.connect(address, tls).then(connected => {
        drop = () => connected.destroy()
        return KafkaConnection.open(connected, { clientId: 'dragoman-cli', login })
      })
      const otherwise = `${where} does not answer as a listener of Kafka's protocol does`
      return new Cluster(target, await within(open, connectMsMax, otherwise))
    } catch (error) {
      drop?.()
      if (error instanceof CommandError) throw error
      if (error instanceof ProtocolError) {
        throw new CommandError(
          `What listens at ${where} does not speak Kafka's protocol: ${error.message}. --broker HOST:PORT names another one`,
        )
      }
      if (error instanceof LoginRefused) throw new CommandError(`${where} lets nobody in like this: ${error.message}`)
      const why = error instanceof Error ? error.message : String(error)
      throw new CommandError(
        `Cannot reach a broker at ${where}: ${why}. Is it running? --broker HOST:PORT names another one`,
      )
    }
  }

  /** Rejects with `CommandError` when the connection is lost or the answer does not come. */
  async request<Q extends Codec<unknown>, A extends Codec<unknown>>(
    api: Api<Q, A>,
    body: Write<Q>,
    { versionMax = Infinity, timeoutMs = requestMsMax }: { versionMax?: number; timeoutMs?: number } = {},
  ): Promise<Infer<A>> {
    try {
      const version = Math.min(this.#connection.versionOf(api), versionMax)
      return await within(this.#connection.request(api, body, version), timeoutMs, `${api.name} is not answered`)
    } catch (error) {
      if (error instanceof CommandError) throw error
      if (error instanceof ProtocolError) throw new CommandError(error.message)
      throw new CommandError(
        `The connection to the broker is lost: ${error instanceof Error ? error.message : String(error)}${this.#hint}`,
      )
    }
  }

  /** A broker that wants to know who asks closes the connection of who does not say. */
  get #hint(): string {
    const { user, token } = this.target
    return user === undefined && token === undefined ? '. If it knows users, log in with --user and --password' : ''
  }

  /** Topics by name, or all; sorted. Rejects with `CommandError` naming the first that does not exist. */
  async topics(names: readonly string[] | null): Promise<TopicPartitions[]> {
    const { topics } = await this.request(apis.metadata, {
      topics: names?.map(name => ({ name })) ?? null,
      allowAutoTopicCreation: false,
    })
    const found = topics.map(({ name, topicId, errorCode, partitions }) => {
      check(errorCode, `Cannot find topic "${name ?? ''}"`)
      return { topic: name ?? '', id: topicId, partitions: partitions.map(p => p.partitionIndex).sort((a, b) => a - b) }
    })
    return found.sort((a, b) => (a.topic < b.topic ? -1 : 1))
  }

  /** One topic; makes it, if it is not there and `create` says so, as the broker makes topics on first use. */
  async topic(name: string, create = false): Promise<TopicPartitions> {
    if (!create) return (await this.topics([name]))[0] ?? { topic: name, id: '', partitions: [] }
    for (let attempt = 0; ; attempt++) {
      const { topics } = await this.request(apis.metadata, { topics: [{ name }], allowAutoTopicCreation: true })
      const [found] = topics
      if (found && found.errorCode === codes.none) {
        return {
          topic: name,
          id: found.topicId,
          partitions: found.partitions.map(p => p.partitionIndex).sort((a, b) => a - b),
        }
      }
      // A topic that is just being made has no leader for a moment.
      if (attempt >= 20 || found?.errorCode !== leaderNotAvailable) {
        check(found?.errorCode ?? codes.unknownTopicOrPartition, `Cannot use topic "${name}"`)
      }
      await pause(50)
    }
  }

  close(): void {
    this.#connection.close()
  }
}

const leaderNotAvailable = 5

/** Connects, runs, and closes whatever happens. */
export async function withCluster<T>(target: BrokerTarget, run: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await Cluster.connect(target)
  try {
    return await run(cluster)
  } finally {
    cluster.close()
  }
}

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

async function within<T>(work: Promise<T>, ms: number, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CommandError(`${otherwise} within ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
