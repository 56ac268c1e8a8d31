import { BeanstalkDriver, type Answer } from '../../packages/broker/src/protocols/beanstalk/driver.ts'
import type { Connection, Network, Runtime } from '../../packages/broker/src/runtime/runtime.ts'
import type { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'
import { beanstalkPort } from './client.ts'

/** Longer than any command waits. */
const answerMsMax = 8_000

/** An answer, and in which span of time the broker decided on it. */
export interface Asked extends Answer {
  readonly askedMs: number
  readonly nowMs: number
}

/** A client of tubes: its connection is made when it is needed, and given up when an answer does not come. */
export class TubeClient {
  readonly simulator: Simulator
  readonly #runtime: Runtime
  readonly #name: string
  /** Said first on each connection. */
  readonly #greeting: readonly string[]
  readonly #lost: () => void
  #socket: Connection | undefined
  #driver: Promise<BeanstalkDriver> | undefined
  commandCount = 0

  /** `lost` is called when nothing can be known any more of what the connection held. */
  constructor(simulator: Simulator, name: string, greeting: readonly string[] = [], lost: () => void = () => {}) {
    this.simulator = simulator
    this.#name = name
    this.#runtime = simulator.process(name).start()
    this.#greeting = greeting
    this.#lost = lost
  }

  /** Undefined: it may or may not have been done, and the connection is gone. */
  async ask(line: string, body?: Buffer): Promise<Asked | undefined> {
    this.commandCount++
    const { simulator } = this
    const attempt = (this.#driver ??= this.#inTime(this.#connect()))
    try {
      const driver = await attempt
      const askedMs = simulator.nowMs
      simulator.note(`${this.#name}: ${line}`)
      const answer = await this.#inTime(driver.ask(line, body))
      simulator.note(`${this.#name}: ${line}: ${answer.line}`)
      // The connection may have been given up because of another command.
      if (this.#driver !== attempt) return undefined
      if (answer.line === 'INTERNAL_ERROR' || answer.line === 'UNKNOWN_COMMAND' || answer.line === 'BAD_FORMAT') {
        simulator.fail(`"${line}" is answered with ${answer.line}`)
      }
      return { ...answer, askedMs, nowMs: simulator.nowMs }
    } catch {
      if (this.#driver === attempt) this.drop()
      await simulator.sleep(20 + simulator.random.float() * 100)
      return undefined
    }
  }

  /** Closes the connection as a client that has crashed would. */
  drop(): void {
    this.#socket?.destroy()
    this.#socket = undefined
    this.#driver = undefined
    this.#lost()
  }

  async #connect(): Promise<BeanstalkDriver> {
    const { network } = this.#runtime
    const keeping: Pick<Network, 'connect'> = {
      connect: async address => (this.#socket = await network.connect(address)),
    }
    const driver = await BeanstalkDriver.connect({ ...network, ...keeping }, { host: 'broker', port: beanstalkPort })
    for (const line of this.#greeting) await driver.ask(line)
    return driver
  }

  #inTime<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.simulator.at(answerMsMax, 'no answer', () => reject(new Error('no answer')))
      promise.then(resolve, reject).finally(cancel)
    })
  }
}
