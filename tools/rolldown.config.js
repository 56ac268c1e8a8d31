// How `tools/build.ts` makes the JavaScript of each package: few files, because loading one costs half a millisecond whatever is in
// it. What is loaded only when needed (a protocol, a command) stays apart.
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const packages = path.join(import.meta.dirname, '..', 'packages')
const target = process.env.BUILD_DIRECTORY ?? path.join(import.meta.dirname, '..', 'dist')

/** By the names that their files get: what a package exports, and its commands. */
function entriesOf(folder) {
  const { exports = {}, bin = {} } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'))
  const files = [...Object.values(exports), ...Object.values(bin)]
  return Object.fromEntries(files.map(file => [/^\.\/src\/(.*)\.[jt]s$/.exec(file)[1], path.join(folder, file)]))
}

export default readdirSync(packages).map(name => ({
  input: entriesOf(path.join(packages, name)),
  external: specifier => !/^[./]/.test(specifier),
  platform: 'node',
  transform: { target: 'node22' },
  output: {
    dir: path.join(target, name, 'src'),
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
  },
}))
