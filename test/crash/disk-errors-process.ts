import { writeSync } from 'node:fs'
import { startBroker } from '../../packages/broker/src/index.ts'
import { makeBatch } from '../../packages/broker/src/storage/record-batch.ts'

/**
 * A broker that appends to its own topic until it is killed, in files so small that all of them are used again and again. Says `ready PID`, then
 * `PARTITION OFFSET LABEL NUMBER BYTES` for each record that is durable.
 *
 *   disk-errors-process.ts DIRECTORY LABEL
 */
const [directory = '', label = ''] = process.argv.slice(2)
const KiB = 1024
const sizes = { flushBytes: 192 * KiB, largeBatchBytes: 24 * KiB, largeFlushBytes: 512 * KiB, slabBytes: 256 * KiB }
const options = { data: directory, flushIntervalMs: 300, retentionCheckIntervalMs: 200, reserveBytes: 0 }
const { core } = await startBroker(options, { sizes, journalFileBytes: 512 * KiB })
const { topics, cell } = core
const topic = topics.get('/', 'log') ?? (await topics.create('/', 'log', { partitions: 3 }))
writeSync(1, `ready ${process.pid}\n`)

let number = 0

function append(partition: number, bytes: number): void {
  const mine = number++
  const value = Buffer.from(`${label} ${mine} `.padEnd(bytes, 'x'))
  cell.append(topic.partitions[partition]!, makeBatch([{ key: null, value, timestampMs: Date.now() }]), result => {
    if (result.error === undefined) writeSync(1, `${partition} ${result.baseOffset} ${label} ${mine} ${bytes}\n`)
    setTimeout(() => append(partition, sizeOf(number)), 1)
  })
}

/** Mostly small ones; now and then one that goes straight into a segment. */
const sizeOf = (count: number): number => (count % 11 === 0 ? 40 * KiB : 200 + ((count * 397) % (6 * KiB)))

for (let partition = 0; partition < 3; partition++) for (let at = 0; at < 4; at++) append(partition, sizeOf(at))
// The first partition is trimmed as it grows, so that segments are rewritten and dropped.
setInterval(() => {
  const stream = topic.partitions[0]!
  const { startOffset, endOffset } = cell.bounds(stream)!
  if (endOffset - startOffset > 300) cell.trim(stream, endOffset - 100).catch(() => {})
}, 50)
