import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { format, type Claim, type Row } from './bench.ts'

const intro = `# Benchmarks

Each section is written by \`npm run bench -- NAME\`, which runs Dragoman and what it is compared with in turn on fresh
directories, and takes medians. The machine is small and shared: the ratio in one run is the figure, not the absolute.
CPU is that of the process, as a share of one core over the measured time.
`

/** Puts one claim's results into the page: its section is replaced, the others stay as they are. */
export function writeSection(file: string, name: string, claim: Claim, rows: Row[], command: string): void {
  const page = existsSync(file) ? readFileSync(file, 'utf8') : intro
  const [start, end] = [`<!-- bench ${name} -->`, `<!-- end ${name} -->`]
  const section = `${start}\n${sectionOf(name, claim, rows, command)}\n${end}`
  const from = page.indexOf(start)
  const to = page.indexOf(end)
  const next =
    from >= 0 && to > from ? page.slice(0, from) + section + page.slice(to + end.length) : `${page}\n${section}\n`
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, next)
}

function sectionOf(name: string, claim: Claim, rows: Row[], command: string): string {
  const lines = [
    `## ${name}`,
    '',
    claim.title,
    '',
    claim.method,
    '',
    '| what | Dragoman | compared with | ratio | target | met | note |',
    '|---|---|---|---|---|---|---|',
    ...rows.map(row => {
      const ratio = row.ratio === undefined ? '' : format(row.ratio)
      const cells = [row.what, row.value, row.reference, ratio, row.target, row.met ? 'yes' : '**no**', row.note]
      return `| ${cells.join(' | ')} |`
    }),
    '',
    `\`${command}\` on ${machine()}.`,
    '',
  ]
  return lines.join('\n')
}

function machine(): string {
  const memory = Math.round(totalmem() / 2 ** 30)
  const model = cpus()[0]?.model.replaceAll(/\s+/g, ' ').trim() ?? 'unknown processor'
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
  const date = new Date().toISOString().slice(0, 10)
  return `${cpus().length} × ${model}, ${memory} GB, Linux ${release().split('-')[0]}, Node ${process.versions.node}; ${date}, commit ${commit}`
}
