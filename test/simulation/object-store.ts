import type { Owner, World } from '../../packages/broker/src/runtime/simulated/world.ts'
import type { BlobStore, BlobWriter } from '../../packages/broker/src/storage/blob-store.ts'
import type { ChainStore, PutResult } from '../../packages/broker/src/storage/chain-store.ts'

/** How often a request meets which fate. A put that meets none is applied once and answered. */
export interface StoreFaults {
  delayMsMax: number
  /** One in twenty takes up to this long. */
  slowMsMax: number
  /** The request never arrives: `unknown` after a while. */
  lostRequestChance: number
  /** Applied, and the answer is lost: `unknown`. */
  lostAnswerChance: number
  /** Answered `unknown`, and applied up to `lateMsMax` later. */
  lateChance: number
  lateMsMax: number
  /** Applied, answered, and applied once more up to `lateMsMax` later. */
  twiceChance: number
}

export const hostileStore: StoreFaults = {
  delayMsMax: 10,
  slowMsMax: 450,
  lostRequestChance: 0.02,
  lostAnswerChance: 0.03,
  lateChance: 0.02,
  lateMsMax: 120_000,
  twiceChance: 0.01,
}

const timeoutMs = 50

/**
 * An object store as brokers meet them: create-if-absent, get, list and delete by key, each atomic and at once visible to all,
 * but the way there and the way back lose, delay and double what they carry.
 */
export class ObjectStore {
  readonly objects = new Map<string, Buffer>()
  faults: StoreFaults = { ...hostileStore }
  operationCount = 0
  /** Called when a put creates something, and before something is deleted. */
  created: (key: string, bytes: Buffer) => void = () => {}
  deleting: (key: string) => void = () => {}
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** The stores as one process uses them; its later incarnations need others. */
  client(owner: Owner): { chain: ChainStore; blobs: BlobStore } {
    const client = new Client(this, this.#world, owner)
    return { chain: new ObjectChain(client), blobs: new ObjectBlobs(client) }
  }

  create(key: string, bytes: Buffer): PutResult {
    if (this.objects.has(key)) return 'exists'
    this.created(key, bytes)
    this.objects.set(key, bytes)
    return 'ok'
  }

  delete(key: string): void {
    if (!this.objects.has(key)) return
    this.deleting(key)
    this.objects.delete(key)
  }
}

class Client {
  readonly store: ObjectStore
  readonly #world: World
  readonly #owner: Owner
  readonly #incarnation: number

  constructor(store: ObjectStore, world: World, owner: Owner) {
    this.store = store
    this.#world = world
    this.#owner = owner
    this.#incarnation = owner.incarnation
  }

  #delayMs(): number {
    const { random } = this.#world
    const { delayMsMax, slowMsMax } = this.store.faults
    return random.chance(0.05) ? random.float() * slowMsMax : 0.5 + random.float() * delayMsMax
  }

  /** A request that is repeated until it is answered, as reads and deletes can be. */
  ask<T>(label: string, apply: () => T): Promise<T> {
    return new Promise(resolve => {
      if (!this.#owner.isRunning(this.#incarnation)) return
      this.store.operationCount++
      this.#world.at(this.#delayMs(), label, () => {
        const answer = apply()
        this.#answer(this.#delayMs(), label, () => resolve(answer))
      })
    })
  }

  #answer(delayMs: number, label: string, run: () => void): void {
    if (this.#owner.isRunning(this.#incarnation)) this.#world.at(delayMs, label, run, this.#owner)
  }

  put(key: string, bytes: Buffer): Promise<PutResult> {
    const { store } = this
    const { faults } = store
    const { random } = this.#world
    return new Promise(resolve => {
      if (!this.#owner.isRunning(this.#incarnation)) return
      store.operationCount++
      const later = (): number => (random.chance(0.5) ? this.#delayMs() : random.float() * faults.lateMsMax)
      const apply = (): PutResult => {
        const result = store.create(key, bytes)
        this.#world.note(`put ${key} ${result}`, bytes.length)
        return result
      }
      const ambiguous = (): void => this.#answer(timeoutMs, 'put unknown', () => resolve('unknown'))
      const fate = random.float()
      const { lostRequestChance, lateChance, lostAnswerChance, twiceChance } = faults
      if (fate < lostRequestChance) return ambiguous()
      if (fate < lostRequestChance + lateChance) {
        ambiguous()
        return void this.#world.at(later(), 'late put', apply)
      }
      const isAnswerLost = fate < lostRequestChance + lateChance + lostAnswerChance
      this.#world.at(this.#delayMs(), 'put', () => {
        const result = apply()
        if (random.chance(twiceChance)) this.#world.at(later(), 'second put', apply)
        if (isAnswerLost) ambiguous()
        else this.#answer(this.#delayMs(), 'put answer', () => resolve(result))
      })
    })
  }
}

const blockKey = (cell: number, seq: number): string => `cell/${cell}/b/${seq.toString(16).padStart(16, '0')}`

/** Number of the block that a key names; undefined when it names something else. */
export function blockSeq(key: string): number | undefined {
  const found = /\/b\/([0-9a-f]{16})$/.exec(key)
  return found ? Number.parseInt(found[1]!, 16) : undefined
}

class ObjectChain implements ChainStore {
  readonly full = false
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  putIfAbsent(cell: number, seq: number, parts: readonly Uint8Array[]): Promise<PutResult> {
    return this.#client.put(blockKey(cell, seq), Buffer.concat(parts))
  }

  get(cell: number, seq: number): Promise<Buffer | null> {
    const { objects } = this.#client.store
    return this.#client.ask('get', () => objects.get(blockKey(cell, seq)) ?? null).then(copyOf)
  }

  list(cell: number, fromSeq: number): Promise<number[]> {
    const { objects } = this.#client.store
    return this.#client.ask('list', () => {
      const seqs: number[] = []
      for (const key of objects.keys()) {
        const seq = key.startsWith(`cell/${cell}/b/`) ? blockSeq(key) : undefined
        if (seq !== undefined && seq >= fromSeq) seqs.push(seq)
      }
      return seqs.sort((a, b) => a - b)
    })
  }

  async drop(cell: number, seqs: readonly number[]): Promise<void> {
    for (const seq of seqs) await this.#client.ask('delete', () => this.#client.store.delete(blockKey(cell, seq)))
  }

  async close(): Promise<void> {}
}

/** Blobs under the same keys as their names. A large one is sent whole when it is finished. */
class ObjectBlobs implements BlobStore {
  readonly #client: Client

  constructor(client: Client) {
    this.#client = client
  }

  putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<PutResult> {
    return this.#client.put(name, Buffer.concat(parts))
  }

  async create(name: string): Promise<BlobWriter> {
    const written: Buffer[] = []
    return {
      append: async parts => {
        written.push(Buffer.concat(parts))
      },
      finish: () => this.#finish(name, Buffer.concat(written)),
      abort: async () => {},
    }
  }

  /** Segment names are never used twice: what exists is ours from an attempt whose answer was lost. */
  async #finish(name: string, bytes: Buffer): Promise<PutResult> {
    for (;;) {
      const result = await this.#client.put(name, bytes)
      if (result !== 'unknown') return 'ok'
    }
  }

  async read(name: string, position: number, target: Buffer): Promise<number | null> {
    const bytes = await this.#client.ask('read', () => this.#client.store.objects.get(name) ?? null)
    return bytes ? bytes.copy(target, 0, position) : null
  }

  list(prefix: string): Promise<{ name: string; bytes: number }[]> {
    const { objects } = this.#client.store
    return this.#client.ask('list', () =>
      [...objects].filter(([name]) => name.startsWith(prefix)).map(([name, bytes]) => ({ name, bytes: bytes.length })),
    )
  }

  async drop(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#client.ask('delete', () => this.#client.store.delete(name))
  }

  async close(): Promise<void> {}
}

const copyOf = (bytes: Buffer | null): Buffer | null => (bytes ? Buffer.from(bytes) : null)
