// `npm run build`: what is published. Each package becomes `dist/<package>/`: JavaScript, type declarations and a package.json that
// points at them. Works on the oldest Node that `engines` names, whatever Node the repository itself runs on. The packages find each
// other there, so what is published can be tried in place: `node dist/cli/src/dragoman.js`. Another directory can be named.
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { root } from './static.ts'

/** From 22.15 on, `node:zlib` knows zstd. */
const engines = { node: '>=22.15' }

interface Manifest {
  name: string
  exports?: Record<string, string | { types: string; default: string }>
  bin?: Record<string, string>
  [field: string]: unknown
}

const target = path.resolve(root, process.argv[2] ?? 'dist')
rmSync(target, { recursive: true, force: true })
run('tsc', ['-p', 'tsconfig.build.json', '--outDir', target])
run('rolldown', ['--config', 'tools/rolldown.config.js', '--log-level', 'warn'])
const scope = path.join(target, 'node_modules', '@dragoman')
mkdirSync(scope, { recursive: true })
for (const name of readdirSync(path.join(root, 'packages'))) {
  const source = path.join(root, 'packages', name)
  if (!existsSync(path.join(source, 'package.json'))) continue
  finish(source, path.join(target, name))
  symlinkSync(path.join('..', '..', name), path.join(scope, name))
}

function run(tool: string, args: readonly string[]): void {
  const program = path.join(root, 'node_modules', '.bin', tool)
  const env = { ...process.env, BUILD_DIRECTORY: target }
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', env })
  if (error !== undefined) console.error(`Cannot run ${tool}: ${error.message}`)
  if (status !== 0) process.exit(1)
}
function finish(source: string, folder: string): void {
  const manifest = JSON.parse(readFileSync(path.join(source, 'package.json'), 'utf8')) as Manifest
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'package.json'), `${JSON.stringify(published(manifest), null, 2)}\n`)
  copyFileSync(path.join(root, 'LICENSE'), path.join(folder, 'LICENSE'))
  const readme = path.join(source, 'README.md')
  if (existsSync(readme)) copyFileSync(readme, path.join(folder, 'README.md'))
  console.log(`${manifest.name} -> ${path.relative(root, folder)}`)
}

function published(manifest: Manifest): Manifest {
  const made: Manifest = { ...manifest, engines, files: ['src'] }
  if (manifest.exports !== undefined) {
    made.exports = Object.fromEntries(
      Object.entries(manifest.exports).map(([entry, file]) => [entry, compiledEntry(file)]),
    )
  }
  if (manifest.bin !== undefined) {
    made.bin = Object.fromEntries(Object.entries(manifest.bin).map(([name, file]) => [name, javascript(file)]))
  }
  return made
}

/** Conditions are tried in order: `types` comes first. */
function compiledEntry(file: string | { types: string; default: string }): { types: string; default: string } {
  if (typeof file !== 'string') return file
  return { types: file.replace(/\.ts$/, '.d.ts'), default: javascript(file) }
}

function javascript(file: string): string {
  return file.replace(/\.ts$/, '.js')
}
