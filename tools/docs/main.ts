// Writes the pages that come from declarations: `node tools/docs/main.ts`. With `--check` it only tells which are not fresh.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { pages } from './pages.ts'

const root = path.join(import.meta.dirname, '..', '..')
const check = process.argv.includes('--check')

let stale = 0
for (const [file, text] of await pages()) {
  const target = path.join(root, file)
  if (present(target) === text) continue
  stale++
  if (check) {
    console.log(`${file} is not what its source says: run "npm run docs" and commit the result.`)
    continue
  }
  mkdirSync(path.dirname(target), { recursive: true })
  writeFileSync(target, text)
  console.log(`${file} written`)
}
process.exitCode = check && stale > 0 ? 1 : 0

function present(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
