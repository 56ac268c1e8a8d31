import { verifyDirectory, type Finding, type VerifyReport } from './cell/verify.ts'
import { claimExisting, emptied, isEmptied } from './data-directory.ts'
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
    const report = await verifyDirectory(runtime.disk, path, machines)
    if (await isEmptied(runtime.disk, path)) report.findings.push(nothingIn(path))
    return report
  } finally {
    await lock.release()
  }
}

/** What a start warns of. */
const nothingIn = (path: string): Finding => ({
  level: 'damage',
  where: `${path}/cell`,
  what: `${path} ${emptied}`,
  advice: 'If no broker has ever got through its first start here, nothing is missing.',
})
