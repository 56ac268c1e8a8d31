// Runs before `npm start`, `npm test` and `npm run check`, on whatever Node the machine has (18 or newer): plain JavaScript.
// Installs what package-lock.json names when it is not there yet, and makes sure that the Node which npm's scripts find first
// (node_modules/.bin/node) can run TypeScript. Silent when there is nothing to do.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const modules = path.join(root, 'node_modules')

/** The oldest Node that runs `.ts` files and has all that the broker uses. */
const nodeMinimum = [22, 18]

/**
 * Keys of the packages that the lock file names and `node_modules` lacks or has in another version. An optional package may be
 * absent unless it is made for this `machine` (`os`, `cpu`, `libc`).
 */
export function outdated(lock, installed, machine) {
  const stale = []
  for (const [key, entry] of Object.entries(lock.packages)) {
    if (!key.startsWith('node_modules/') && !key.includes('/node_modules/')) continue
    const present = installed.packages[key]
    if (present === undefined) {
      if (entry.optional || entry.peer ? madeFor(entry, machine) : true) stale.push(key)
    } else if (present.version !== entry.version || Boolean(present.link) !== Boolean(entry.link)) stale.push(key)
  }
  return stale
}

function madeFor(entry, machine) {
  if (entry.os === undefined || entry.cpu === undefined) return false
  return ['os', 'cpu', 'libc'].every(part => entry[part] === undefined || [entry[part]].flat().includes(machine[part]))
}

/** Whether a Node that says `version` (`v24.21.0`) can run the repository. */
export function capable(version) {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number)
  return major > nodeMinimum[0] || (major === nodeMinimum[0] && minor >= nodeMinimum[1])
}

function needsInstall() {
  const hidden = path.join(modules, '.package-lock.json')
  if (!existsSync(hidden)) return true
  const lock = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'))
  const { glibcVersionRuntime } = process.report.getReport().header
  const machine = { os: process.platform, cpu: process.arch, libc: glibcVersionRuntime ? 'glibc' : 'musl' }
  return outdated(lock, JSON.parse(readFileSync(hidden, 'utf8')), machine).length > 0
}

/** Runs npm on the Node `node`: npm leaves out optional packages that want a newer Node than the one it runs on. */
function install(node) {
  // A first install takes exactly what the lock file says; a later one changes what differs and leaves the rest in place.
  const fresh = !existsSync(modules)
  const args = [fresh ? 'ci' : 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  if (!fresh) args.push('--no-save')
  const npm = process.env.npm_execpath
  const result = npm?.endsWith('.js')
    ? spawnSync(node, [npm, ...args], { cwd: root, encoding: 'utf8' })
    : spawnSync('npm', args, { cwd: root, encoding: 'utf8' })
  if (result.status === 0) return
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}${result.error?.message ?? ''}\n`)
  process.stderr.write(`Cannot install the dependencies: "npm ${args.join(' ')}" failed (see above).\n`)
  process.exit(1)
}

/**
 * npm puts node_modules/.bin first on the PATH of its scripts, so that `node` there decides what they run on.
 * Returns the Node to go on with, or undefined when none can run the repository.
 */
function pinnedNode() {
  const pinned = path.join(modules, '.bin', 'node')
  const binary = path.join(modules, `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (!existsSync(pinned) && existsSync(binary)) {
    // Some releases of npm install the package and forget the link.
    rmSync(pinned, { force: true })
    symlinkSync(path.relative(path.dirname(pinned), binary), pinned)
  }
  if (existsSync(pinned)) {
    if (realpathSync(pinned) === process.execPath) return process.execPath
    const said = spawnSync(pinned, ['--version'], { encoding: 'utf8' })
    if (said.status === 0 && capable(said.stdout.trim())) return pinned
    rmSync(pinned) // It cannot run here (another C library, for one): let the machine's own Node be found behind it.
  }
  return capable(process.version) ? process.execPath : undefined
}

/**
 * Compiled code is kept between runs (packages/cli/src/dragoman.js). With it from the beginning, the first broker of a fresh clone is not
 * the one that takes three times as long and 30 MB more. This one loads everything and then refuses to start: it would be open to all.
 */
export function compileAhead(node) {
  const command = path.join(root, 'packages', 'cli', 'src', 'dragoman.js')
  const words = ['serve', '--data', 'memory', '--kafka', '0.0.0.0:0']
  return spawnSync(node, [command, ...words], { encoding: 'utf8', timeout: 30_000 })
}

function main() {
  const installing = needsInstall()
  if (installing) {
    process.stderr.write('Installing dependencies (once; about 10 s) …\n')
    install(process.execPath)
  }
  const node = pinnedNode()
  if (node === undefined) {
    process.stderr.write(
      `Cannot run on Node ${process.version}: there is no packaged Node for ${process.platform}-${process.arch}, ` +
        `and the one on the PATH is older than ${nodeMinimum.join('.')}. Install Node 24 (https://nodejs.org) and try again.\n`,
    )
    process.exit(1)
  }
  if (!installing) return
  if (node !== process.execPath && needsInstall()) {
    install(realpathSync(node))
    pinnedNode()
  }
  compileAhead(node)
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main()
