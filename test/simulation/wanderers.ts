import type { Answer } from '../../packages/broker/src/protocols/resp/driver.ts'
import type { Client } from './client.ts'
import { foundIn } from './entry-streams.ts'
import { idOf, valueOf } from './records.ts'
import { repeat, RespClient, surely, type Told, type Word } from './resp-client.ts'
import type { Shared, Workload } from './workload.ts'

const membersMax = 300

/** A list or a stream that has one of several names. */
class Wanderer {
  readonly names: readonly string[]
  readonly #verb: string
  readonly #kind: 'list' | 'stream'
  /** Of each value, whether it was answered for; those that were refused are not there. */
  readonly members = new Map<number, boolean>()
  next = 0

  constructor(kind: 'list' | 'stream') {
    this.#kind = kind
    this.#verb = kind === 'list' ? 'RPUSHX' : 'XADD'
    this.names = ['a', 'b', 'c'].map(name => `${kind}-${name}`)
  }

  make(index: number): Word[] {
    const [name = ''] = this.names
    return this.#kind === 'list' ? ['RPUSH', name, bytesOf(index)] : ['XADD', name, '*', 'v', bytesOf(index)]
  }

  /** Adds to what is there; makes nothing. */
  add(name: string, index: number): Word[] {
    return [this.#verb, name, ...(this.#kind === 'list' ? [] : ['NOMKSTREAM', '*', 'v']), bytesOf(index)]
  }

  isAdded(answer: Answer): boolean {
    return answer !== null && answer !== 0
  }

  read(name: string): Word[] {
    return this.#kind === 'list' ? ['LRANGE', name, 0, -1] : ['XRANGE', name, '-', '+']
  }

  indexes(answer: Answer): number[] {
    if (this.#kind === 'stream') return foundIn(answer).map(({ value }) => value!.index)
    return (answer as Buffer[]).map((value, at) => idOf(at, value).index)
  }
}

const bytesOf = (index: number): Buffer => valueOf({ producer: 1, index })

/**
 * Lists and streams that get other names while others add to them.
 *
 * Holds: each has one of its names at any time, with all that was added, once.
 */
export class Wanderers implements Workload {
  readonly #shared: Shared
  readonly #wanderers = [new Wanderer('list'), new Wanderer('stream')]
  #checks = 0

  constructor(shared: Shared) {
    this.#shared = shared
  }

  async create(): Promise<void> {
    const client = new RespClient(this.#shared, 'wanderers-setup')
    for (const wanderer of this.#wanderers)
      while ((await this.#exists(client, wanderer)) !== 1) await client.ask(...wanderer.make(wanderer.next++))
    client.drop()
  }

  async run(): Promise<void> {
    const { random } = this.#shared.simulator
    const tasks: Promise<void>[] = []
    for (let number = random.between(1, 3); number > 0; number--)
      tasks.push(
        repeat(this.#shared, `wanderers-${number}`, { shortMs: 5, longMs: 300 }, client =>
          this.#step(client, random.pick(this.#wanderers)),
        ),
      )
    await Promise.all(tasks)
  }

  async #step(client: RespClient, wanderer: Wanderer): Promise<void> {
    const { simulator } = this.#shared
    const { random } = simulator
    const name = random.pick(wanderer.names)
    if (random.chance(0.3)) {
      const found = await this.#exists(client, wanderer)
      if (found !== 1) simulator.fail(`${found} of ${wanderer.names.join()} are there`)
    } else if (random.chance(0.5) && wanderer.members.size < membersMax) await this.#add(client, wanderer, name)
    else await client.ask('RENAME', name, random.pick(wanderer.names.filter(each => each !== name)))
  }

  async #exists(client: RespClient, { names }: Wanderer): Promise<number> {
    return Number((await surely(this.#shared, client, 'EXISTS', ...names)).answer)
  }

  async #add(client: RespClient, wanderer: Wanderer, name: string): Promise<void> {
    const index = wanderer.next++
    const { answer }: Told = await client.ask(...wanderer.add(name, index))
    if (answer === undefined) wanderer.members.set(index, false)
    else if (!(answer instanceof Error) && wanderer.isAdded(answer)) wanderer.members.set(index, true)
  }

  // The end

  async check(_client: Client): Promise<void> {
    const { simulator } = this.#shared
    await simulator.sleep(5_000)
    const client = new RespClient(this.#shared, `wanderers-check-${++this.#checks}`)
    for (const wanderer of this.#wanderers) {
      const found: number[] = []
      for (const name of wanderer.names) {
        const { answer } = await surely(this.#shared, client, ...wanderer.read(name))
        const there = wanderer.indexes(answer)
        if (found.length > 0 && there.length > 0) simulator.fail(`${name} is there, and it has another name, too`)
        found.push(...there)
      }
      this.#compare(wanderer, found)
    }
    client.drop()
  }

  #compare({ names, members }: Wanderer, found: readonly number[]): void {
    const { simulator } = this.#shared
    if (new Set(found).size < found.length) simulator.fail(`${names[0]} holds ${found.join()}`)
    for (const [index, isSure] of members)
      if (isSure && !found.includes(index)) simulator.fail(`${index} was added to ${names[0]}, and is gone`)
  }
}
