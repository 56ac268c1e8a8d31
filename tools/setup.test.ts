import assert from 'node:assert/strict'
import test from 'node:test'
import { capable, compileAhead, outdated } from './setup.js'

const lock = {
  packages: {
    '': { version: '1.0.0' },
    'packages/a': { version: '1.0.0' },
    'node_modules/@x/a': { resolved: 'packages/a', link: true },
    'node_modules/b': { version: '2.0.0' },
    'packages/a/node_modules/b': { version: '1.0.0' },
    'node_modules/c-other-platform': { version: '3.0.0', optional: true, os: ['other'], cpu: ['x64'] },
    'node_modules/d-optional': { version: '4.0.0', optional: true },
  },
}

const machine = { os: 'linux', cpu: 'x64', libc: 'glibc' }

test('outdated is empty for what npm leaves behind after an install', () => {
  const { 'node_modules/c-other-platform': _, 'node_modules/d-optional': __, ...packages } = lock.packages
  assert.deepEqual(outdated(lock, { packages }, machine), [])
})

test('outdated names what is absent or of another version, nested packages and links too', () => {
  assert.deepEqual(outdated(lock, { packages: { 'node_modules/b': { version: '2.0.1' } } }, machine), [
    'node_modules/@x/a',
    'node_modules/b',
    'packages/a/node_modules/b',
  ])
})

test('outdated names an optional package that is there in another version', () => {
  const packages = { ...lock.packages, 'node_modules/c-other-platform': { version: '2.0.0', optional: true } }
  assert.deepEqual(outdated(lock, { packages }, machine), ['node_modules/c-other-platform'])
})

test('outdated names an optional package that is made for this machine and absent', () => {
  const native = { version: '1.0.0', optional: true, os: 'linux', cpu: ['x64', 'arm64'] }
  const packages = {
    'node_modules/n-glibc': { ...native, libc: ['glibc'] },
    'node_modules/n-musl': { ...native, libc: ['musl'] },
  }
  assert.deepEqual(outdated({ packages }, { packages: {} }, machine), ['node_modules/n-glibc'])
})

test('capable accepts every Node that runs TypeScript without a flag', () => {
  assert.deepEqual(['v18.20.0', 'v20.20.2', 'v22.17.1', 'v22.18.0', 'v23.0.0', 'v24.21.0'].map(capable), [
    false,
    false,
    false,
    true,
    true,
    true,
  ])
})

test('what is compiled ahead needs a broker that ends by itself, without having listened', () => {
  const { status, stdout, stderr } = compileAhead(process.execPath)
  assert.equal(status, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /Cannot let kafka/)
})
