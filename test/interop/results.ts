import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory } from './fetched.ts'
import { knownFailures } from './known-failures.ts'
import type { CaseName, Outcome } from './suite.ts'

/** What became of one case of one client. */
export type Verdict = Outcome | { kind: 'known failure'; reason: string }

export interface Row {
  case: CaseName
  verdict: Verdict
}

/** One client's run. */
export interface Result {
  client: string
  version: string
  from: string
  /** Why nothing was run. */
  missing?: string
  rows: Row[]
}

/** Holds an outcome against the list of known failures. */
export function judge(client: string, name: CaseName, outcome: Outcome): Verdict {
  const known = knownFailures.find(entry => entry.client === client && entry.case === name)
  if (known === undefined) return outcome
  if (outcome.kind === 'failed') return { kind: 'known failure', reason: known.reason }
  if (outcome.kind === 'skipped') return outcome
  return { kind: 'failed', reason: 'it passes now: remove it from known-failures.ts' }
}

/** Known failures that name a case which the client, all of which was run, does not have. */
export function unknownEntries(result: Result): string[] {
  const seen = new Set(result.rows.map(row => row.case))
  return knownFailures
    .filter(entry => entry.client === result.client && !seen.has(entry.case))
    .map(entry => `known-failures.ts names "${entry.case}" of ${entry.client}, which has no such case`)
}

const directory = (protocol: string): string => cacheDirectory(join('results', protocol))

/** Keeps the results of clients, so that the page can be written after a run of one of them. */
export function keep(protocol: string, results: Result[]): void {
  mkdirSync(directory(protocol), { recursive: true })
  for (const result of results) {
    const file = `${result.client.replaceAll(/[^\w.-]+/g, '_')}.json`
    writeFileSync(join(directory(protocol), file), JSON.stringify(result))
  }
}

export function forget(protocol: string): void {
  rmSync(directory(protocol), { recursive: true, force: true })
}

/** What was kept, in the order of the names given; clients that were never run are missing in it. */
export function kept(protocol: string, order: string[]): Result[] {
  const files = readdirSync(directory(protocol)).map(file => readFileSync(join(directory(protocol), file), 'utf8'))
  const results = files.map(text => JSON.parse(text) as Result)
  return order.flatMap(name => results.filter(result => result.client === name))
}
