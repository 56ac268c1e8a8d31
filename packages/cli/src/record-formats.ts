import type { StoredRecord } from '@dragoman/broker/record-batch'
import { showJsonRecord } from './json-records.ts'

export const recordFormats = ['text', 'json', 'hex'] as const
export type RecordFormat = (typeof recordFormats)[number]

export interface FormatOptions {
  format: RecordFormat
  /** In text: between key and value; without it the key is not shown. */
  keySeparator: string | undefined
}

const lineEnd = Buffer.from('\n')
const nothing = Buffer.alloc(0)

/** The bytes of one record, line end included. */
export function formatRecord(topic: string, partition: number, record: StoredRecord, options: FormatOptions): Buffer {
  switch (options.format) {
    case 'text': {
      const value = record.value ?? nothing
      if (options.keySeparator === undefined) return Buffer.concat([value, lineEnd])
      return Buffer.concat([record.key ?? nothing, Buffer.from(options.keySeparator), value, lineEnd])
    }
    case 'json':
      return Buffer.from(`${showJsonRecord(topic, partition, record)}\n`)
    case 'hex':
      return Buffer.from(`${topic}/${partition} ${record.offset} ${hex(record.key)} ${hex(record.value)}\n`)
  }
}

const hex = (bytes: Buffer | null): string => (bytes === null ? '-' : bytes.length === 0 ? '""' : bytes.toString('hex'))
