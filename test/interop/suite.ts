/** What a client is checked for; the rows of the table, in this order. A client has the checks that its interface allows. */
export const capabilities = [
  'codec none',
  'codec gzip',
  'codec snappy',
  'codec lz4',
  'codec zstd',
  'headers, keys, timestamps, tombstones',
  'acks 0, 1, all',
  'idempotent producer',
  'long poll',
  'offsets: earliest, latest',
  'offsets by time',
  'seek',
  'group: commit and resume',
  'group: members come and go',
  'group: static member',
  'group: cooperative rebalance',
  'admin: topics',
  'admin: partitions',
  'admin: configs',
  'admin: groups',
  'admin: offsets of a group',
  'admin: delete records',
  'admin: cluster',
  'topic made by first use',
  'errors in its own words',
] as const

export type Capability = (typeof capabilities)[number]

export type Outcome = { kind: 'passed'; detail?: string } | { kind: 'failed'; reason: string }

export interface Check {
  capability: Capability
  run(): Promise<void>
}

/** A client of somebody else's, used as its own documentation says. */
export interface Client {
  name: string
  /** The version that the checks were written against; another one is used all the same, and named. */
  pinned: string
  version(): string
  /** Why it cannot be used here, or undefined. */
  missing(): string | undefined
  /** Runs its checks against a broker, and tells of each one. */
  run(address: string, report: (capability: Capability, outcome: Outcome) => void): Promise<void>
}

const checkMsMax = 60_000

/** Runs checks one after another, each within a limit of time. */
export async function runChecks(
  checks: Check[],
  report: (capability: Capability, outcome: Outcome) => void,
): Promise<void> {
  for (const check of checks) report(check.capability, await outcomeOf(check))
}

async function outcomeOf(check: Check): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${checkMsMax / 1000} s`)), checkMsMax)
  })
  try {
    await Promise.race([check.run(), late])
    return { kind: 'passed' }
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  } finally {
    clearTimeout(timer)
  }
}

let names = 0

/** A name that no other check and no other run on the same broker uses. */
export function fresh(kind: string): string {
  return `${kind}-${process.pid}-${++names}`
}

/** Waits until a condition holds, looking again every 20 ms; the check's own limit ends it otherwise. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(resolve => setTimeout(resolve, 20))
}
