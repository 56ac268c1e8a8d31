import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'

interface Package {
  version?: string
  resolved?: string
  hasInstallScript?: boolean
  optionalDependencies?: Record<string, string>
  [field: string]: unknown
}

const root = path.join(import.meta.dirname, '..')
const read = (file: string): unknown => JSON.parse(readFileSync(path.join(root, file), 'utf8'))
const { packages } = read('package-lock.json') as { packages: Record<string, Package> }
const dependencyFields = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies']

test('package-lock.json names no address, so that any registry can serve it', () => {
  for (const [key, { resolved }] of Object.entries(packages)) assert.doesNotMatch(resolved ?? '', /:\/\//, key)
})

test('no dependency has an install script: the setup runs none', () => {
  assert.deepEqual(
    Object.keys(packages).filter(key => packages[key]?.hasInstallScript),
    [],
  )
})

// Installing where a registry lacks a platform's package silently writes such a lock file; `npm ci` then refuses it.
test('package-lock.json has every optional package of every platform', () => {
  for (const [key, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies)) {
      assert.ok(
        packages[`node_modules/${name}`] ?? packages[`${key}/node_modules/${name}`],
        `${key || 'root'}: ${name}`,
      )
    }
  }
})

test('package-lock.json is in step with each package.json', () => {
  const folders = ['', ...readdirSync(path.join(root, 'packages')).map(name => `packages/${name}`)]
  for (const folder of folders) {
    const manifest = read(path.join(folder, 'package.json')) as Package
    for (const field of dependencyFields)
      assert.deepEqual(packages[folder]?.[field], manifest[field], `${folder} ${field}`)
  }
})

test('every dependency is pinned to one version', () => {
  for (const [key, entry] of Object.entries(packages)) {
    if (key.includes('node_modules')) continue
    for (const field of dependencyFields) {
      for (const [name, range] of Object.entries((entry[field] ?? {}) as Record<string, string>)) {
        assert.match(range, /^\d+\.\d+\.\d+$/, `${key || 'root'}: ${name}`)
      }
    }
  }
})
