import { ProtocolError, type Codec, type Infer, type Write } from '@dragoman/wire'
import { KafkaConnection } from '../../packages/broker/src/protocols/kafka/client.ts'
import type { Api } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import type { Connection, Runtime } from '../../packages/broker/src/runtime/runtime.ts'
import type { SimProcess } from '../../packages/broker/src/runtime/simulated/process.ts'
import type { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'

export const brokerPort = 9092
export const beanstalkPort = 11300
export const amqpPort = 5672
export const stompPort = 61613
export const respPort = 6379
export const mqttPort = 1883
const answerMsMax = 8_000

/** A client's connection to the broker: made when it is needed, given up when an answer does not come. */
export class Client {
  readonly simulator: Simulator
  readonly process: SimProcess
  readonly #runtime: Runtime
  #socket: Connection | undefined
  #kafka: Promise<KafkaConnection> | undefined
  requestCount = 0

  constructor(simulator: Simulator, name: string) {
    this.simulator = simulator
    this.process = simulator.process(name)
    this.#runtime = this.process.start()
  }

  /** Undefined: it may or may not have been done; the connection is gone. */
  async request<Q extends Codec<unknown>, A extends Codec<unknown>>(
    api: Api<Q, A>,
    body: Write<Q>,
  ): Promise<Infer<A> | undefined> {
    this.requestCount++
    const attempt = (this.#kafka ??= this.#inTime(this.#connect()))
    try {
      const kafka = await attempt
      return await this.#inTime(kafka.request(api, body))
    } catch (error) {
      if (error instanceof ProtocolError) this.simulator.fail(`${this.process.name}: ${error.message}`, error)
      if (this.#kafka === attempt) this.drop()
      await this.simulator.sleep(20 + this.simulator.random.float() * 100)
      return undefined
    }
  }

  /** Closes the connection as a crashed client would. */
  drop(): void {
    this.#socket?.destroy()
    this.#socket = undefined
    this.#kafka = undefined
  }

  async #connect(): Promise<KafkaConnection> {
    this.#socket = await this.#runtime.network.connect({ host: 'broker', port: brokerPort })
    return KafkaConnection.open(this.#socket)
  }

  #inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.simulator.at(answerMsMax, 'no answer', () => reject(new Error('no answer')))
      promise.then(
        value => {
          cancel()
          resolve(value)
        },
        (error: Error) => {
          cancel()
          reject(error)
        },
      )
    })
  }
}
