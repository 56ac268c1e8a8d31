import assert from 'node:assert/strict'
import type { Stamp } from './record.ts'

export interface Acknowledged {
  key: string
  number: number
  partition: number
  /** -1 where the client does not say. */
  offset: number
}

/**
 * What one writer's topic must hold.
 *
 * Invariant: for each partition the records seen are dense from offset 0, and what was seen once at an offset is seen
 * there for ever: a consumer that read a record before a crash reads the same after it.
 */
export class Audit {
  readonly name: string
  readonly idempotent: boolean
  duplicates = 0
  acknowledged = 0
  readonly #partitions: { key: string; number: number }[][]
  /** The highest number of each key; all below have been seen too. */
  readonly #highest = new Map<string, number>()
  readonly #unchecked: Acknowledged[] = []

  constructor(name: string, partitionCount: number, idempotent: boolean) {
    this.name = name
    this.idempotent = idempotent
    this.#partitions = Array.from({ length: partitionCount }, () => [])
  }

  /** The offset after the last record seen. */
  end(partition: number): number {
    return this.#partitions[partition]?.length ?? 0
  }

  get seen(): number {
    return this.#partitions.reduce((sum, records) => sum + records.length, 0)
  }

  acknowledge(record: Acknowledged): void {
    this.acknowledged++
    this.#unchecked.push(record)
  }

  saw(partition: number, offset: number, { writer, key, number }: Stamp): void {
    const where = `${this.name} partition ${partition} offset ${offset}`
    assert.equal(writer, this.name, `${where} holds a record of another writer`)
    const records = this.#partitions[partition] ?? []
    const before = records[offset]
    if (before !== undefined) {
      assert.deepEqual({ key, number }, before, `${where} held another record before the crash`)
      return
    }
    assert.equal(offset, records.length, `${where}: a hole in the offsets`)
    records.push({ key, number })
    const highest = this.#highest.get(key) ?? -1
    if (number <= highest) {
      this.duplicates++
      assert.ok(!this.idempotent, `${where}: ${key} ${number} is there twice though its producer is idempotent`)
      return
    }
    assert.equal(number, highest + 1, `${where}: ${key} ${number} came before ${highest + 1}`)
    this.#highest.set(key, number)
  }

  /** Acknowledgements that no `settle` has looked at. */
  get pending(): number {
    return this.#unchecked.length
  }

  /** After a read to the end: each of the first `count` pending records is where its producer was told that it is. */
  settle(count: number): void {
    for (const { key, number, partition, offset } of this.#unchecked.splice(0, count)) {
      const where = `${this.name} partition ${partition} offset ${offset}`
      assert.ok((this.#highest.get(key) ?? -1) >= number, `${where}: acknowledged ${key} ${number} is missing`)
      if (offset < 0) continue
      assert.deepEqual(
        this.#partitions[partition]?.[offset],
        { key, number },
        `${where}: another record than acknowledged`,
      )
    }
  }
}
