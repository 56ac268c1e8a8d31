import { verifyDirectory, type Finding, type VerifyReport } from './cell/verify.ts'
import { claimExisting } from './data-directory.ts'
import { machines } from './machines.ts'
import { realRuntime } from './runtime/real/real-runtime.ts'
import type { Runtime } from './runtime/runtime.ts'

export type { Finding, VerifyReport }

/**
 * Checks everything in a data directory and changes nothing in it. Rejects with `StartError` when it is no data directory or a
 * broker is using it.
 */
export async function verifyData(path: string, runtime: Runtime = realRuntime()): Promise<VerifyReport> {
  const lock = await claimExisting(runtime.disk, path)
  try {
    return await verifyDirectory(runtime.disk, path, machines)
  } finally {
    await lock.release()
  }
}
