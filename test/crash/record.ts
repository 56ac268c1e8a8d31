/** Values that carry their own proof: `WRITER KEY NUMBER CHECKSUM PADDING`. `kafka-load ledger` writes the same. */
export interface Stamp {
  writer: string
  key: string
  /** Counts from 0 for each key of a writer. */
  number: number
}

export function write(stamp: Stamp, padding: number): string {
  const words = `${stamp.writer} ${stamp.key} ${stamp.number}`
  return `${words} ${checksum(words).toString(16).padStart(8, '0')} ${'x'.repeat(padding)}`
}

/** Throws when the bytes are not as they were written. */
export function read(value: Buffer): Stamp {
  const match = /^(\S+) (\S+) (\d+) ([0-9a-f]{8}) x*\n?$/.exec(value.toString('latin1'))
  if (match === null) throw new Error(`Altered record: ${value.toString('latin1').slice(0, 120)}`)
  const [, writer = '', key = '', number = '', sum = ''] = match
  const words = `${writer} ${key} ${number}`
  if (checksum(words) !== Number.parseInt(sum, 16)) throw new Error(`Altered record: ${words} with ${sum}`)
  return { writer, key, number: Number(number) }
}

/** FNV-1a, 32 bit. */
export function checksum(text: string): number {
  let hash = 2166136261
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619)
  return hash >>> 0
}
