import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { repository } from '../test/support/dragoman.ts'
import { Bench, dragoman, type Claim } from './harness/bench.ts'
import { writeSection } from './harness/docs.ts'

const directory = join(import.meta.dirname, 'claims')
const names = readdirSync(directory).map(file => file.replace(/\.ts$/, ''))

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    peer: { type: 'string' },
    seconds: { type: 'string', default: '8' },
    runs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    'no-docs': { type: 'boolean', default: false },
  },
})

const chosen = positionals[0] === 'all' ? names : positionals
const unknown = chosen.find(name => !names.includes(name))
if (chosen.length === 0 || unknown !== undefined) {
  process.stderr.write(
    `${unknown === undefined ? '' : `There is no claim named ${unknown}. `}usage: npm run bench -- NAME... ` +
      `[--peer PEER] [--seconds N] [--runs N] [--scale F] [--no-docs]\nNAME is all, or one of: ${names.join(' ')}\n`,
  )
  process.exit(2)
}
const missing = dragoman.missing()
if (missing !== undefined) throw new Error(missing)

let unmet = 0
for (const name of chosen) {
  const { claim } = (await import(join(directory, `${name}.ts`))) as { claim: Claim }
  const bench = new Bench({
    seconds: Number(values.seconds),
    runs: Number(values.runs),
    peer: values.peer,
    scale: Number(values.scale),
  })
  bench.log(`${name}: ${claim.title}`)
  const rows = await claim.run(bench)
  bench.remove(bench.root)
  for (const row of rows) {
    const ratio = row.ratio === undefined ? '' : `  ratio ${row.ratio.toFixed(2)}`
    process.stdout.write(
      `${row.met ? 'met  ' : 'UNMET'} ${row.what}: ${row.value} vs ${row.reference}${ratio}  (${row.target})\n`,
    )
    if (!row.met) unmet++
  }
  const command = `npm run bench -- ${[name, ...process.argv.slice(2).filter(word => !chosen.includes(word) && word !== 'all')].join(' ')}`
  if (!values['no-docs']) writeSection(join(repository, 'docs', 'benchmarks.md'), name, claim, rows, command)
}
process.exitCode = unmet > 0 ? 1 : 0
