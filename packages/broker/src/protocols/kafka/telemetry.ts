import { crc32c } from '../../storage/crc32c.ts'

/** Largest metrics that are taken at once. */
export const telemetryBytesMax = 1024 * 1024
/** How long clients wait before they ask again. */
export const pushIntervalMs = 300_000
/** Zstd, lz4, gzip, snappy. */
export const acceptedCompressions = [4, 3, 1, 2]

/** The number of the subscriptions of one client. It changes with them; as there are none, it depends on the client alone. */
export function subscriptionOf(clientInstanceId: string): number {
  return crc32c(Buffer.from(clientInstanceId, 'hex')) | 0
}
