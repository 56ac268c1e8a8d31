import type { Running } from '../peers/peer.ts'
import type { Bench } from './bench.ts'

/**
 * Produces at least `records` records of 1 KiB in batches of about 1 MB to a topic's partitions, and returns how many
 * were acknowledged. Refused batches are not retried: a peer that refuses some has a smaller backlog.
 */
export async function backlog(
  bench: Bench,
  running: Running,
  topic: string,
  records: number,
  partitions = 1,
): Promise<number> {
  const words = ['--topic', topic, '--partitions', partitions, '--count', records, '--conns', Math.min(2, partitions)]
  const report = await bench.raw('produce', running, ...words)
  if ((report['errors'] ?? 0) > 0) bench.log(`  ${report['errors']} requests refused, last error ${report.errorLast}`)
  return report['records'] ?? 0
}
