import type { Secure } from './secure.ts'

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
  'group: a member is paused, cut, duplicated',
  'group: new protocol',
  'group: new protocol, subscription by pattern',
  'group: from classic to new and back while it runs',
  'share group',
  'transactions: commit and abort',
  'transactions: offsets of a group',
  'transactions: a zombie is fenced',
  'log compaction',
  'TLS',
  'TLS with client certificate',
  'SASL PLAIN',
  'SASL SCRAM-SHA-256',
  'SASL SCRAM-SHA-512',
  'SASL OAUTHBEARER',
  'permissions',
  'quotas',
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

/** A capability that many clients share, or something that one client alone brings: a command, or a test of its own suite. */
export type CaseName = Capability | `${'tool' | 'test' | 'program'}: ${string}`

export type Outcome =
  | { kind: 'passed'; detail?: string }
  | { kind: 'failed'; reason: string }
  /** It cannot be run against this broker or on this machine, whatever the broker does. */
  | { kind: 'skipped'; reason: string }

export type Report = (name: CaseName, outcome: Outcome) => void

export interface Check {
  capability: CaseName
  run(): Promise<void>
}

/** What the checks run against. */
export interface Place {
  /** HOST:PORT of the listener that asks for no credentials. */
  address: string
  /** Another one whose clients must say who they are; against a peer there is none. */
  secure?: Secure | undefined
  /** Clients that bring tests of their own run only those whose names hold this. */
  only?: string | undefined
}

/** A client of somebody else's, used as its own documentation says. */
export interface Client {
  name: string
  /** The version that the checks were written against; another one is used all the same, and named. */
  pinned: string
  /** How it comes here, for the page. */
  from: string
  /** Further arguments of `dragoman serve`, where it counts on other defaults than ours. */
  serve?: string[]
  /** Where the broker listens, if not on 127.0.0.1. */
  host?: string
  /** What of an acknowledgement is enough for it; `fsync` when absent. */
  durability?: 'fsync' | 'os'
  /** It has checks for `Place.secure`. */
  wantsSecure?: boolean
  /** Fetches it where the machine does not have it; why it cannot be used here, or undefined. */
  missing(): string | undefined
  /** What is used, after `missing` has found nothing. */
  version(): string
  /** Runs its checks against a broker, and tells of each one. */
  run(place: Place, report: Report): Promise<void>
}

const checkMsMax = 60_000

/** Runs checks one after another, each within a limit of time. */
export async function runChecks(checks: Check[], report: Report, timeoutMs = checkMsMax): Promise<void> {
  for (const check of checks) report(check.capability, await outcomeOf(check, timeoutMs))
}

async function outcomeOf(check: Check, timeoutMs: number): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    // Seconds are counted: when the whole machine stands still for a while, nobody has had the time.
    let leftMs = timeoutMs
    timer = setInterval(() => {
      leftMs -= 1000
      if (leftMs <= 0) reject(new Error(`nothing after ${timeoutMs / 1000} s`))
    }, 1000)
  })
  try {
    await Promise.race([check.run(), late])
    return { kind: 'passed' }
  } catch (error) {
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  } finally {
    clearInterval(timer)
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
