import { gunzipSync, zstdDecompressSync } from 'node:zlib'
import { ProtocolError } from '@dragoman/wire'
import { decompressLz4 } from './lz4.ts'
import type { Compression } from './record-batch.ts'
import { decompressSnappy } from './snappy.ts'

/**
 * The bytes that `bytes` stands for. Throws `ProtocolError` when they are damaged or would be more than `bytesMax`: memory is
 * bounded by it whatever the bytes claim.
 */
export function decompress(compression: Compression, bytes: Buffer, bytesMax: number): Buffer {
  switch (compression) {
    case 'none':
      return bytes
    case 'gzip':
      return bounded(compression, () => gunzipSync(bytes, { maxOutputLength: bytesMax }))
    case 'snappy':
      return decompressSnappy(bytes, bytesMax)
    case 'lz4':
      return decompressLz4(bytes, bytesMax)
    case 'zstd':
      return bounded(compression, () => zstdDecompressSync(bytes, { maxOutputLength: bytesMax }))
  }
}

function bounded(compression: Compression, run: () => Buffer): Buffer {
  try {
    return run()
  } catch (error) {
    throw new ProtocolError(
      `Cannot decompress ${compression}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}
