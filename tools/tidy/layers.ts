import path from 'node:path'
import { isTest, sources, type Finding, type Import, type Source, type Tree } from './tree.ts'

/** Each layer may import those before it. Type imports count: a type is knowledge, too. */
export const layerOrder = [
  'wire',
  'options',
  'runtime',
  'storage',
  'cell',
  'core',
  'protocols',
  'transport',
  'admin',
  'main',
] as const

export type Layer = (typeof layerOrder)[number]

const broker = 'packages/broker/src/'

/** Which workspace a package may use, by its folder. */
const packageMayUse: Record<string, readonly string[]> = {
  wire: [],
  broker: ['@dragoman/wire'],
  cli: ['@dragoman/wire', '@dragoman/broker'],
}

/** The layer of a file, or undefined for what stands outside the order (command line, tools, tests, benchmarks). */
export function layerOf(file: string): Layer | undefined {
  if (file.startsWith('packages/wire/')) return 'wire'
  if (!file.startsWith(broker)) return undefined
  const [first = '', ...rest] = file.slice(broker.length).split('/')
  if (rest.length === 0) return 'main'
  return layerOrder.find(layer => layer === first)
}

/** Import order, package borders, protocols kept apart, no cycles. */
export function checkLayers(tree: Tree): Finding[] {
  const findings: Finding[] = []
  for (const source of sources(tree).values()) {
    if (source.file.startsWith(broker) && layerOf(source.file) === undefined) {
      findings.push({
        file: source.file,
        line: 1,
        message: `This folder is in no layer. The layers are ${layerOrder.join(' < ')}; a new one needs a decision in docs/adr.`,
      })
    }
    for (const imported of source.imports) {
      const message = judge(source.file, imported)
      if (message !== undefined) findings.push({ file: source.file, line: imported.line, message })
    }
  }
  return [...findings, ...findCycles(tree)]
}

function judge(file: string, imported: Import): string | undefined {
  const { specifier } = imported
  const folder = /^packages\/([^/]+)\//.exec(file)?.[1]
  if (specifier.startsWith('@dragoman/'))
    return folder === undefined ? undefined : judgePackage(file, folder, specifier)
  if (!specifier.startsWith('.')) return judgeModule(file, specifier)
  if (!/\.(ts|js|json)$/.test(specifier))
    return `Cannot import "${specifier}" without its ending: write the whole file name.`
  const target = resolve(file, specifier)
  if (folder !== undefined && !target.startsWith(`packages/${folder}/`)) {
    return `Cannot import "${specifier}" across packages: import the package by its name.`
  }
  return isTest(file) ? undefined : judgeLayer(file, target, imported)
}

function judgePackage(file: string, folder: string, specifier: string): string | undefined {
  const name = specifier.split('/').slice(0, 2).join('/')
  if (packageMayUse[folder]?.includes(name) === true) return undefined
  if (name === `@dragoman/${folder}`) {
    return isTest(file) ? undefined : `Cannot import ${name} inside itself: import the file relatively.`
  }
  return `Cannot import ${name} from packages/${folder}: it may use ${packageMayUse[folder]?.join(', ') || 'no other package'}.`
}

function judgeModule(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('node:') || isTest(file)) return undefined
  if (file.startsWith('packages/wire/')) return `Cannot import "${specifier}": wire depends on nothing but Node.`
  return undefined
}

function judgeLayer(file: string, target: string, imported: Import): string | undefined {
  const from = layerOf(file)
  const to = layerOf(target)
  if (from === undefined || to === undefined) return undefined
  if (layerOrder.indexOf(to) > layerOrder.indexOf(from)) {
    return (
      `Cannot import ${to} from ${from}: the order is ${layerOrder.join(' < ')}. ` +
      `Let ${to} hand it in, or move what both need into ${from} or below.`
    )
  }
  if (from !== 'protocols') return undefined
  if (to === 'runtime' && !imported.typeOnly) {
    return 'Cannot import values from runtime in a protocol: a session is handed its clock, randomness and outbox.'
  }
  const ours = protocolOf(file)
  const theirs = protocolOf(target)
  if (ours === undefined || theirs === undefined || ours === theirs) return undefined
  return `Cannot import protocol ${theirs} from protocol ${ours}: what both need belongs to core or wire.`
}

/** `kafka` for a file below `protocols/kafka/`; undefined for the files that belong to all protocols. */
export function protocolOf(file: string): string | undefined {
  return /^packages\/broker\/src\/protocols\/([^/]+)\//.exec(file)?.[1]
}

const resolve = (file: string, specifier: string): string => path.posix.join(path.posix.dirname(file), specifier)

/** Each cycle once, as the path that closes it. */
function findCycles(tree: Tree): Finding[] {
  const all = sources(tree)
  const findings: Finding[] = []
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (source: Source): void => {
    const at = trail.indexOf(source.file)
    if (at >= 0) {
      const cycle = [...trail.slice(at), source.file]
      findings.push({
        file: source.file,
        line: 1,
        message: `Cycle of imports: ${cycle.join(' -> ')}. Move what they share into a file of its own.`,
      })
      return
    }
    if (done.has(source.file)) return
    trail.push(source.file)
    for (const target of targets(source)) {
      const next = all.get(target)
      if (next !== undefined) visit(next)
    }
    trail.pop()
    done.add(source.file)
  }
  for (const source of all.values()) visit(source)
  return findings
}

/**
 * Packages cannot form a cycle (`packageMayUse`), so only files of the same one count. A list that loads its entries when they are
 * needed may be read by them.
 */
const targets = (source: Source): string[] =>
  source.imports
    .filter(({ specifier, lazy }) => specifier.startsWith('.') && !lazy)
    .map(({ specifier }) => resolve(source.file, specifier))
