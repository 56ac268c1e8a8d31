import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test from 'node:test'
import { checkBans } from './bans.ts'
import { checkLayers } from './layers.ts'
import { checkLinks } from './links.ts'
import { checkProtocolNames, checkProtocolShape } from './protocols.ts'
import { checkSizes, fileLinesMax, functionLinesMax } from './sizes.ts'
import { makeTree, readTree, type Rule } from './tree.ts'
import { checkMarkers } from './words.ts'

const broker = 'packages/broker/src/'

/** What `rule` says about these files: `file:line` and the start of each message. */
function findings(rule: Rule, files: Record<string, string>): string[] {
  return rule(makeTree(files)).map(({ file, line, message }) => `${file.replace(broker, '')}:${line} ${message}`)
}

function accepts(rule: Rule, files: Record<string, string>): void {
  assert.deepEqual(findings(rule, files), [])
}

function refuses(rule: Rule, files: Record<string, string>, ...expected: RegExp[]): void {
  const found = findings(rule, files)
  assert.equal(found.length, expected.length, found.join('\n'))
  for (const [index, pattern] of expected.entries()) assert.match(found[index] ?? '', pattern)
}

test('checkLayers accepts imports to the left, within a layer and by package name', () => {
  accepts(checkLayers, {
    [`${broker}core/a.ts`]: `import { b } from '../cell/b.ts'\nimport { c } from './c.ts'\nimport { Reader } from '@dragoman/wire'`,
    [`${broker}core/c.ts`]: `export const c = 1`,
    [`${broker}cell/b.ts`]: `export const b = 1`,
    'packages/cli/src/main.ts': `import { startBroker } from '@dragoman/broker'`,
    'test/simulation/main.ts': `import { b } from '../../packages/broker/src/cell/b.ts'`,
  })
})

test('checkLayers refuses an import to the right, whatever its form', () => {
  for (const line of [
    `import { a } from '../core/a.ts'`,
    `import type { A } from '../core/a.ts'`,
    `import { type A } from '../core/a.ts'`,
    `export { a } from '../core/a.ts'`,
    `export type { A } from '../core/a.ts'`,
    `export * from '../core/a.ts'`,
    `const a = await import('../core/a.ts')`,
    `type A = import('../core/a.ts').A`,
  ]) {
    refuses(checkLayers, { [`${broker}storage/s.ts`]: `\n${line}` }, /storage\/s\.ts:2 Cannot import core from storage/)
  }
})

test('checkLayers lets tests and drivers look to the right', () => {
  accepts(checkLayers, {
    [`${broker}storage/s.test.ts`]: `import { a } from '../core/a.ts'\nimport { x } from '@dragoman/broker'`,
    [`${broker}protocols/tiny/driver.ts`]: `import { startBroker } from '../../main.ts'`,
  })
})

test('checkLayers keeps protocols apart and hands them the outside world', () => {
  const at = (name: string): string => `${broker}protocols/${name}/session.ts`
  refuses(
    checkLayers,
    { [at('tiny')]: `import { a } from '../huge/a.ts'` },
    /Cannot import protocol huge from protocol tiny/,
  )
  refuses(checkLayers, { [at('tiny')]: `import { r } from '../../runtime/r.ts'` }, /Cannot import values from runtime/)
  accepts(checkLayers, {
    [at('tiny')]: `import type { R } from '../../runtime/r.ts'\nimport type { P } from '../protocol.ts'`,
    [`${broker}protocols/index.ts`]: `export const load = () => import('./tiny/session.ts')`,
  })
})

test('checkLayers refuses borders crossed by path, unknown folders and imports without an ending', () => {
  refuses(checkLayers, { 'packages/cli/src/a.ts': `import '../../broker/src/main.ts'` }, /across packages/)
  refuses(checkLayers, { 'packages/wire/src/a.ts': `import '@dragoman/broker'` }, /it may use no other package/)
  refuses(checkLayers, { 'packages/wire/src/a.ts': `import { z } from 'zod'` }, /wire depends on nothing but Node/)
  refuses(checkLayers, { [`${broker}core/a.ts`]: `import '@dragoman/broker'` }, /inside itself/)
  refuses(checkLayers, { [`${broker}utils/a.ts`]: `` }, /This folder is in no layer/)
  refuses(checkLayers, { [`${broker}core/a.ts`]: `import './b'` }, /without its ending/)
})

test('checkLayers finds a cycle made of types alone', () => {
  const files = {
    [`${broker}core/a.ts`]: `import type { B } from './b.ts'\nexport type A = B`,
    [`${broker}core/b.ts`]: `import type { C } from './c.ts'\nexport type B = C`,
    [`${broker}core/c.ts`]: `import type { A } from './a.ts'\nexport type C = A`,
  }
  refuses(checkLayers, files, /Cycle of imports: .*a\.ts -> .*b\.ts -> .*c\.ts -> .*a\.ts/)
})

test('checkLayers lets the entries of a lazy list read the list', () => {
  accepts(checkLayers, {
    'packages/cli/src/index.ts': `export const list = [() => import('./help.ts')]`,
    'packages/cli/src/help.ts': `import { list } from './index.ts'\nexport const help = list`,
  })
})

test('checkBans refuses clocks, randomness, timers, disk and network outside runtime', () => {
  for (const [line, name] of [
    [`const t = Date.now()`, 'Date.now'],
    [`const t = new Date()`, 'new Date()'],
    [`const t = performance.now()`, 'performance'],
    [`const r = Math.random()`, 'Math.random'],
    [`const r = Math['random']()`, 'Math.random'],
    [`setTimeout(run, 1)`, 'setTimeout'],
    [`const later = setImmediate`, 'setImmediate'],
    [`process.nextTick(run)`, 'process.nextTick'],
    [`const t = process.hrtime.bigint()`, 'process.hrtime'],
    [`import { open } from 'node:fs/promises'`, 'node:fs/promises'],
    [`import fs from 'fs'`, 'fs'],
    [`const net = await import('node:net')`, 'node:net'],
    [`import { randomBytes } from 'node:crypto'`, 'node:crypto randomBytes'],
    [`import crypto from 'node:crypto'`, 'node:crypto default'],
  ] as const) {
    const [found, ...more] = findings(checkBans, { [`${broker}core/a.ts`]: line })
    assert.ok(found?.startsWith(`core/a.ts:1 Cannot use ${name} in core.`), `${line}: ${found}`)
    assert.deepEqual(more, [], line)
  }
})

test('checkBans accepts what is pure, what is only a type, and what has the same name', () => {
  accepts(checkBans, {
    [`${broker}core/a.ts`]: `
      import { createHash } from 'node:crypto'
      import type { Socket } from 'node:net'
      import { fetch } from './handlers.ts'
      const when = new Date(5).toISOString()
      const least = Math.min(1, 2)
      interface Timers { setTimeout(run: () => void): void; performance: number }
      declare const timers: Timers
      timers.setTimeout(() => fetch(timers.performance))
      const table = { setTimeout: 1 }
      type D = Date`,
    [`${broker}runtime/real/clock.ts`]: `export const now = () => Date.now()`,
    [`${broker}core/a.test.ts`]: `const seed = Date.now()`,
    'packages/cli/src/main.ts': `process.exit(0)`,
    'tools/x.ts': `Date.now()`,
  })
})

test('checkProtocolShape wants the same files in every folder, and its line in the list', () => {
  const base = `${broker}protocols/tiny/`
  const whole: Record<string, string> = { [`${broker}protocols/index.ts`]: `import('./tiny/index.ts')` }
  for (const name of [
    'README.md',
    'index.ts',
    'messages.ts',
    'framing.ts',
    'session.ts',
    'mapping.ts',
    'errors.ts',
    'driver.ts',
  ]) {
    whole[base + name] = ''
  }
  whole[`${base}vectors/`] = ''
  accepts(checkProtocolShape, whole)
  const { [`${base}messages.ts`]: _, ...rest } = whole
  accepts(checkProtocolShape, { ...rest, [`${base}messages/00-produce.ts`]: '' })
  refuses(checkProtocolShape, rest, /messages\.ts is missing/)
  refuses(checkProtocolShape, { ...whole, [`${broker}protocols/index.ts`]: '' }, /tiny is not in the list/)
})

test('checkProtocolNames refuses a protocol in neutral code, comments too, and in its neighbours', () => {
  refuses(
    checkProtocolNames,
    { [`${broker}core/a.ts`]: `// As Kafka does.` },
    /core\/a\.ts:1 Cannot say "Kafka" in core/,
  )
  refuses(checkProtocolNames, { [`${broker}storage/a.ts`]: `const amqpOffset = 1` }, /protocols\/amqp\//)
  refuses(checkProtocolNames, { [`${broker}cell/a.ts`]: `const a = 1\n// RESP` }, /cell\/a\.ts:2/)
  refuses(checkProtocolNames, { [`${broker}protocols/mqtt/session.ts`]: `// Unlike Redis` }, /in protocol mqtt/)
})

test('checkProtocolNames lets a protocol name itself, and others compare', () => {
  accepts(checkProtocolNames, {
    [`${broker}protocols/kafka/session.ts`]: `export const kafka = 1`,
    [`${broker}protocols/kafka/README.md`]: `Unlike MQTT`,
    [`${broker}protocols/index.ts`]: `export const list = ['kafka', 'mqtt']`,
    [`${broker}core/a.ts`]: `const response = 1 // responds, redistributes, corresponding, redispatch`,
    'packages/cli/src/decode.ts': `// kafka`,
    'packages/wire/src/kafka/messages.ts': `// kafka`,
  })
})

test('checkSizes counts lines of files and of functions', () => {
  const lines = (count: number): string => 'work()\n'.repeat(count)
  accepts(checkSizes, { 'tools/a.ts': lines(fileLinesMax) })
  refuses(checkSizes, { 'tools/a.ts': lines(fileLinesMax + 1) }, /601 lines are too many/)
  accepts(checkSizes, { 'tools/a.ts': `function a() {\n${lines(functionLinesMax - 2)}}` })
  refuses(checkSizes, { 'tools/a.ts': `function a() {\n${lines(functionLinesMax - 1)}}` }, /a has 71 lines/)
  refuses(checkSizes, { 'tools/a.ts': `class A {\n  run() {\n${lines(functionLinesMax)}}\n}` }, /:2 run has 72 lines/)
})

test('checkMarkers refuses notes to oneself', () => {
  refuses(checkMarkers, { [`${broker}core/a.ts`]: `const a = 1 // ${'TO'}DO: more` }, /Cannot leave TODO in the code/)
  accepts(checkMarkers, { [`${broker}core/a.ts`]: `const todos = 1` })
})

test('checkLinks follows links and file names in prose, and leaves examples alone', () => {
  const page = (text: string): Record<string, string> => ({
    'docs/a.md': text,
    'docs/adr/b.md': '',
    'tools/x/c.ts': '',
  })
  accepts(checkLinks, page('[b](adr/b.md) [b](adr/b.md#part) [all](adr) [up](../tools/) [out](https://example.org)'))
  accepts(checkLinks, page('`x/c.ts`, `messages/NN-name.ts`, `handlers/*.ts`\n```\n[x](gone.md) `gone/x.ts`\n```'))
  refuses(checkLinks, page('\n[b](b.md)'), /docs\/a\.md:2 The link leads to docs\/b\.md/)
  refuses(checkLinks, page('`x/d.ts`'), /`x\/d\.ts` is named/)
})

test('readTree lists what the rules look at, and nothing that is installed or built', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'tidy-'))
  try {
    for (const file of [
      'packages/a/src/a.ts',
      'packages/a/node_modules/b/b.ts',
      'packages/a/dist/a.ts',
      'tools/t.ts',
    ]) {
      mkdirSync(path.join(root, path.dirname(file)), { recursive: true })
      writeFileSync(path.join(root, file), '')
    }
    mkdirSync(path.join(root, 'packages/a/vectors'))
    const tree = readTree(root)
    assert.deepEqual(tree.paths, ['packages/a/src/a.ts', 'packages/a/vectors/', 'tools/t.ts'])
    assert.equal(tree.text('tools/t.ts'), '')
    assert.equal(tree.text('tools/absent.ts'), undefined)
  } finally {
    rmSync(root, { recursive: true })
  }
})
