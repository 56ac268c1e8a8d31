import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../support/dragoman.ts'
import type { Result, Row, Verdict } from './results.ts'
import { capabilities, type Capability } from './suite.ts'

const isShared = (row: Row): boolean => capabilities.includes(row.case as Capability)

/** Writes the compatibility page of a protocol from the results of its clients, and that of all protocols; says where the first is. */
export function writePage(protocol: string, title: string, results: Result[]): string {
  const file = join('docs', 'protocols', `${protocol}-clients.md`)
  writeFileSync(join(repository, file), page(protocol, title, results))
  writeFileSync(overviewFile, overview())
  return file
}

export function page(protocol: string, title: string, results: Result[]): string {
  const used = results.filter(result => result.missing === undefined)
  const sections = [
    `# ${title}: clients\n\nWritten by \`npm run interop -- ${protocol} --write\` from the last whole run of each client. Do not change it by hand.\n\n` +
      'Each client is what its makers publish, unmodified, used as its documentation says against a broker in a process of its own. How the ' +
      'suite works, and what a client needs to be there, is in [test/interop](../../test/interop/README.md).',
    `## Clients\n\n${clientTable(results)}`,
    shared(used),
    ...used.filter(result => result.rows.some(row => !isShared(row))).map(ownCases),
    failures(used),
    skips(results),
  ]
  return `${sections.filter(section => section !== '').join('\n\n')}\n`
}

const pages = join(repository, 'docs', 'protocols')
const pageEnding = '-clients.md'
export const overviewFile = join(pages, 'clients.md')

/** All clients of all protocols on one page, from the pages of each. */
export function overview(): string {
  const files = readdirSync(pages).filter(file => file.endsWith(pageEnding))
  const sections = files.toSorted().map(file => {
    const text = readFileSync(join(pages, file), 'utf8')
    const title = /^# (.*): clients$/m.exec(text)?.[1] ?? file
    const table = /^## Clients\n\n((?:\|.*\n)+)/m.exec(text)?.[1] ?? ''
    return `## [${title}](${file})\n\n${table.trimEnd()}`
  })
  const head =
    '# Clients\n\nWritten by `npm run interop -- PROTOCOL --write`, as the pages that it refers to. Do not change it by hand.\n\n' +
    'Clients that others have written, used unmodified, and the tests that they have written for themselves: which versions, how many cases, and how many of ' +
    'them pass. The page of each protocol says which cases those are, and why any fails or is left out.'
  return `${[head, ...sections].join('\n\n')}\n`
}

function clientTable(results: Result[]): string {
  const lines = results.map(result => {
    if (result.missing !== undefined) return `| ${result.client} | | ${result.from} | not run | | |`
    const count = (kind: Verdict['kind']): string => {
      const found = result.rows.filter(row => row.verdict.kind === kind).length
      return found === 0 ? '' : String(found)
    }
    const failing = result.rows.filter(row => row.verdict.kind === 'failed').length
    const known = count('known failure')
    const bad = failing === 0 ? known : `**${failing} unexplained** ${known}`
    return `| ${result.client} | ${result.version} | ${result.from} | ${count('passed')} | ${bad} | ${count('skipped')} |`
  })
  return ['| client | version | from | passed | failed | left out |', '|---|---|---|---|---|---|', ...lines].join('\n')
}

function shared(results: Result[]): string {
  if (!results.some(result => result.rows.some(isShared))) return ''
  const legend = 'An empty cell: the client has no such interface, or the suite has no check of it there.'
  return `## What works with which client\n\n${legend}\n\n${matrix(results)}`
}

function matrix(results: Result[]): string {
  const columns = results.filter(result => result.rows.some(isShared))
  const head = `| | ${columns.map(result => `${result.client} ${result.version.split(',')[0]}`).join(' | ')} |`
  const lines = capabilities
    .filter(capability => columns.some(result => result.rows.some(row => row.case === capability)))
    .map(capability => {
      const cells = columns.map(result => sign(result.rows.find(row => row.case === capability)?.verdict))
      return `| ${capability} | ${cells.join(' | ')} |`
    })
  return [head, `|---|${columns.map(() => ':-:|').join('')}`, ...lines].join('\n')
}

function sign(verdict: Verdict | undefined): string {
  if (verdict === undefined) return ''
  return { passed: 'yes', failed: '**no**', 'known failure': 'no', skipped: '–' }[verdict.kind]
}

/** Commands and tests that are one client's own: what passed in a line, the rest in tables further down. */
function ownCases(result: Result): string {
  const own = result.rows.filter(row => !isShared(row))
  const passed = own.filter(row => row.verdict.kind === 'passed').map(row => `\`${nameOf(row)}\``)
  const detail = own.flatMap(row =>
    row.verdict.kind === 'passed' && row.verdict.detail !== undefined
      ? [`* ${nameOf(row)}: ${row.verdict.detail}`]
      : [],
  )
  const lines = [
    `## ${result.client} ${result.version}`,
    `${passed.length} of ${own.length} pass: ${passed.join(', ')}.`,
  ]
  return [...lines, ...(detail.length === 0 ? [] : [detail.join('\n')])].join('\n\n')
}

const nameOf = (row: Row): string => row.case.replace(/^(tool|test|program): /, '')

function failures(results: Result[]): string {
  const lines = results.flatMap(result =>
    result.rows.flatMap(({ case: name, verdict }) =>
      verdict.kind === 'failed' || verdict.kind === 'known failure'
        ? [`| ${result.client} | ${name} | ${oneLine(verdict.reason)} |`]
        : [],
    ),
  )
  if (lines.length === 0) return '## What fails\n\nNothing.'
  return ['## What fails\n', '| client | case | reason |', '|---|---|---|', ...lines].join('\n')
}

function skips(results: Result[]): string {
  const lines = results.flatMap(result => {
    if (result.missing !== undefined) return [`| ${result.client} | all | ${oneLine(result.missing)} |`]
    const byReason = Map.groupBy(
      result.rows.flatMap(({ case: name, verdict }) => (verdict.kind === 'skipped' ? [{ name, verdict }] : [])),
      skipped => skipped.verdict.reason,
    )
    return [...byReason].map(([reason, skipped]) => {
      const names = skipped.map(({ name }) => name.replace(/^(tool|test|program): /, ''))
      return `| ${result.client} | ${names.join(', ')} | ${oneLine(reason)} |`
    })
  })
  if (lines.length === 0) return ''
  return ['## What is left out\n', '| client | cases | reason |', '|---|---|---|', ...lines].join('\n')
}

/** A reason as one cell of a table. */
function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').replaceAll('|', '\\|').trim()
  return line.length > 300 ? `${line.slice(0, 300)}…` : line
}
