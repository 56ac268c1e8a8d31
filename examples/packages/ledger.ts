import { createHash } from 'node:crypto'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

interface Line {
  member: string
  kind: 'record' | 'commit'
  time: bigint
  partition: number
  offset: number
  key: string
  round: number
  checksum: string
}

export interface Published {
  key: string
  paragraph: string
}

/** What all members did, read from their files, and what it says about the group and the topic. */
export class Ledger {
  readonly #directory: string
  readonly #members = new Map<string, { read: number; rest: string; records: number; assigned: string[] }>()
  readonly #lines: Line[] = []
  /** For each partition the first record that was seen at each offset. */
  readonly #first: (Line | undefined)[][]
  distinct = 0

  constructor(directory: string, ends: number[]) {
    this.#directory = directory
    this.#first = ends.map(end => Array.from<Line | undefined>({ length: end }))
  }

  fileOf(member: string): string {
    this.#members.set(member, { read: 0, rest: '', records: 0, assigned: [] })
    return join(this.#directory, `${member}.log`)
  }

  seenBy(member: string): number {
    return this.#members.get(member)?.records ?? 0
  }

  hasJoined(member: string): boolean {
    return (this.#members.get(member)?.assigned.length ?? 0) > 0
  }

  /** Reads what was added to the files. */
  collect(): void {
    for (const [member, state] of this.#members) {
      const file = join(this.#directory, `${member}.log`)
      if (!existsSync(file) || statSync(file).size === state.read) continue
      const bytes = readFileSync(file)
      const lines = (state.rest + bytes.toString('utf8', state.read)).split('\n')
      state.read = bytes.length
      state.rest = lines.pop() ?? ''
      for (const line of lines) this.#take(member, line.split(' '))
    }
  }

  #take(member: string, words: string[]): void {
    const [kind = '', time = '0', partition = '', offset = '', key = '', round = '', checksum = ''] = words
    const state = this.#members.get(member)
    if (kind === 'assigned') state?.assigned.push(`[${words.slice(2).join(' ')}]`)
    if (kind !== 'record' && kind !== 'commit') return
    const place = { partition: Number(partition), offset: Number(offset) }
    const line: Line = { member, kind, time: BigInt(time), ...place, key, round: Number(round), checksum }
    this.#lines.push(line)
    if (kind === 'commit') return
    if (state !== undefined) state.records++
    const records = this.#first[line.partition]
    if (records === undefined || line.offset >= records.length)
      throw new Error(`A record beyond the end: ${words.join(' ')}`)
    if (records[line.offset] === undefined) {
      records[line.offset] = line
      this.distinct++
    }
  }

  /** A record may be consumed again only when no commit had gone past it: that is what at least once means. */
  result(): { duplicates: number; unexplained: number; assigned: [string, string][] } {
    const committed = new Map<number, number>()
    const seen = new Set<string>()
    const result = { duplicates: 0, unexplained: 0 }
    for (const line of this.#lines.toSorted((a, b) => Number(a.time - b.time))) {
      const { kind, partition, offset } = line
      if (kind === 'commit') committed.set(partition, Math.max(offset, committed.get(partition) ?? 0))
      else if (seen.has(`${partition} ${offset}`)) {
        result.duplicates++
        if (offset < (committed.get(partition) ?? 0)) result.unexplained++
      } else seen.add(`${partition} ${offset}`)
    }
    const assigned = [...this.#members].map(([name, { records, assigned: lists }]): [string, string] => {
      return [name, `${records} records, partitions ${lists.join(' then ')}`]
    })
    return { ...result, assigned }
  }

  /** What is wrong, one line for each key: its records must be the published one, once for each round, in order. */
  compare(published: Published[], rounds: number): string[] {
    const consumed = this.#byKey()
    const problems: string[] = []
    for (const { key, paragraph } of published) {
      const wanted = sequence(paragraph, rounds)
      const found = consumed.get(key)?.join(' ') ?? 'nothing'
      consumed.delete(key)
      if (found !== wanted) problems.push(`${key}: published ${wanted}, consumed ${found}`)
    }
    for (const key of consumed.keys()) problems.push(`${key} was never published`)
    return problems
  }

  checksums(published: Published[], rounds: number): { published: string; consumed: string } {
    const sumOf = (lines: string[]): string =>
      createHash('sha256').update(lines.toSorted().join('\n')).digest('hex').slice(0, 16)
    const consumed = [...this.#byKey()].map(([key, records]) => `${key} ${records.join(' ')}`)
    return {
      published: sumOf(published.map(({ key, paragraph }) => `${key} ${sequence(paragraph, rounds)}`)),
      consumed: sumOf(consumed),
    }
  }

  /** Each key's records in the order of their offsets, without the duplicates. A key in two partitions has both. */
  #byKey(): Map<string, string[]> {
    const keys = new Map<string, string[]>()
    for (const { key, round, checksum } of this.#first.flat().filter(line => line !== undefined)) {
      const records = keys.get(key) ?? []
      records.push(`${round}:${checksum}`)
      keys.set(key, records)
    }
    return keys
  }
}

function sequence(paragraph: string, rounds: number): string {
  const checksum = createHash('sha1').update(paragraph).digest('hex')
  return Array.from({ length: rounds }, (_, index) => `${index + 1}:${checksum}`).join(' ')
}
