import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import test, { after } from 'node:test'
import { pathToFileURL } from 'node:url'
import { startDragoman } from '../test/support/dragoman.ts'
import { root } from './static.ts'

/** Below the repository, whose node_modules holds what the packages depend on. */
const target = path.join(root, '.cache', `build-test-${process.pid}`)
after(() => rmSync(target, { recursive: true, force: true }))

const run = (...words: string[]): string => execFileSync(process.execPath, words, { cwd: root, encoding: 'utf8' })

interface Manifest {
  exports?: Record<string, { types: string; default: string }>
  bin?: Record<string, string>
}

test('what is published is whole: it starts every listener, and each entry has its code and its types', async () => {
  run('tools/build.ts', target)
  for (const name of readdirSync(path.join(root, 'packages'))) {
    const folder = path.join(target, name)
    const { exports = {}, bin = {} } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) as Manifest
    const files = [...Object.values(exports).flatMap(entry => Object.values(entry)), ...Object.values(bin)]
    for (const file of files) assert.ok(existsSync(path.join(folder, file)), `${name}: ${file}`)
    for (const { default: code } of Object.values(exports)) await import(pathToFileURL(path.join(folder, code)).href)
  }
  const main = path.join(target, 'cli', 'src', 'dragoman.js')
  const { process: broker, address } = await startDragoman({ data: 'memory', protocol: 'all', main })
  try {
    run(main, 'topic', 'create', 'built', '--broker', address)
    assert.match(run(main, 'topic', 'list', '--broker', address), /built/)
    assert.match(run(main, 'help'), /topic create/)
  } finally {
    assert.equal(await broker.stop(), 0)
  }
})

test('a program that embeds what is published loads few files until its broker listens', () => {
  const entry = JSON.stringify(pathToFileURL(path.join(target, 'broker', 'src', 'index.js')).href)
  const script = `
    import { registerHooks } from 'node:module'
    let files = 0
    registerHooks({ load(url, context, next) { if (url.startsWith('file:')) files++; return next(url, context) } })
    const { startBroker } = await import(${entry})
    const broker = await startBroker({ data: 'memory', kafka: 0 })
    await broker.close()
    console.log(files)
  `
  const files = Number(run('--input-type=module', '-e', script))
  // From the sources it is 500 files, at half a millisecond each.
  assert.ok(files > 0 && files < 80, `${files} files`)
})
