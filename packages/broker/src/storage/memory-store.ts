import type { BlobStore, BlobWriter } from './blob-store.ts'
import type { ChainStore, PutResult } from './chain-store.ts'

/** Blocks in memory: as durable as the process. Same rules, no disk. */
export class MemoryChainStore implements ChainStore {
  readonly full: boolean = false
  readonly #cells = new Map<number, Map<number, Buffer>>()

  #blocks(cell: number): Map<number, Buffer> {
    let blocks = this.#cells.get(cell)
    if (!blocks) this.#cells.set(cell, (blocks = new Map()))
    return blocks
  }

  async putIfAbsent(cell: number, seq: number, parts: readonly Uint8Array[]): Promise<PutResult> {
    const blocks = this.#blocks(cell)
    if (blocks.has(seq)) return 'exists'
    blocks.set(seq, Buffer.concat(parts))
    return 'ok'
  }

  async get(cell: number, seq: number): Promise<Buffer | null> {
    return this.#blocks(cell).get(seq) ?? null
  }

  async list(cell: number, fromSeq: number): Promise<number[]> {
    return [...this.#blocks(cell).keys()].filter(seq => seq >= fromSeq).sort((a, b) => a - b)
  }

  async drop(cell: number, seqs: readonly number[]): Promise<void> {
    for (const seq of seqs) this.#blocks(cell).delete(seq)
  }

  async close(): Promise<void> {}
}

/** Blobs in memory. */
export class MemoryBlobStore implements BlobStore {
  readonly #blobs = new Map<string, Buffer[]>()

  async putIfAbsent(name: string, parts: readonly Uint8Array[]): Promise<PutResult> {
    if (this.#blobs.has(name)) return 'exists'
    this.#blobs.set(name, [Buffer.concat(parts)])
    return 'ok'
  }

  async create(name: string): Promise<BlobWriter> {
    const written: Buffer[] = []
    return {
      append: async parts => {
        written.push(Buffer.concat(parts))
      },
      finish: async () => {
        if (this.#blobs.has(name)) return 'exists'
        this.#blobs.set(name, written)
        return 'ok'
      },
      abort: async () => {},
    }
  }

  async read(name: string, position: number, target: Buffer): Promise<number | null> {
    const parts = this.#blobs.get(name)
    if (!parts) return null
    let skip = position
    let filled = 0
    for (const part of parts) {
      if (skip >= part.length) skip -= part.length
      else {
        filled += part.copy(target, filled, skip)
        skip = 0
        if (filled === target.length) break
      }
    }
    return filled
  }

  async list(prefix: string): Promise<{ name: string; bytes: number }[]> {
    return [...this.#blobs]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, parts]) => ({ name, bytes: parts.reduce((sum, part) => sum + part.length, 0) }))
  }

  async drop(names: readonly string[]): Promise<void> {
    for (const name of names) this.#blobs.delete(name)
  }

  async close(): Promise<void> {}
}
