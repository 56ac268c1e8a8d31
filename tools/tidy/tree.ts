import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { parseSync } from 'oxc-parser'

/** A file tree to judge: paths from its root with `/`, and their text. Rules see nothing else, so a test can make one up. */
export interface Tree {
  readonly paths: readonly string[]
  /** Undefined when there is no such file. */
  text(file: string): string | undefined
}

export interface Finding {
  file: string
  line: number
  /** What is wrong, and what to do instead. */
  message: string
}

/** A rule looks at the whole tree and tells what it finds; nothing when all is well. */
export type Rule = (tree: Tree) => Finding[]

const skippedFolders = new Set(['node_modules', 'dist', 'fixtures', 'dragoman-data'])

/** The files under `root` that people wrote. `vectors/` folders are listed as one entry each: they hold bytes, not code. */
export function readTree(root: string): Tree {
  const paths: string[] = []
  const visit = (folder: string): void => {
    for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const name = folder === '' ? entry.name : `${folder}/${entry.name}`
      if (!entry.isDirectory()) paths.push(name)
      else if (entry.name === 'vectors') paths.push(`${name}/`)
      else if (!skippedFolders.has(entry.name) && !entry.name.startsWith('.')) visit(name)
    }
  }
  visit('')
  paths.sort()
  const known = new Set(paths)
  return {
    paths,
    text: file => (known.has(file) ? readFileSync(path.join(root, file), 'utf8') : undefined),
  }
}

/** A tree that exists only here. */
export function makeTree(files: Record<string, string>): Tree {
  return { paths: Object.keys(files).sort(), text: file => files[file] }
}

export interface Node {
  type: string
  start: number
  end: number
  [field: string]: unknown
}

export interface Import {
  /** As written: `./a.ts`, `node:fs`, `@dragoman/wire`. */
  specifier: string
  /** The names taken from it; `*` for all of them, `default` for the default. Empty for a bare or dynamic import. */
  names: string[]
  typeOnly: boolean
  /** `import()`: loaded when it is needed. */
  lazy: boolean
  line: number
}

export interface Source {
  file: string
  text: string
  program: Node
  imports: Import[]
  lineOf(position: number): number
}

const parsed = new WeakMap<Tree, Map<string, Source>>()

/** All TypeScript files of the tree, parsed once. Throws when one is not TypeScript. */
export function sources(tree: Tree): Map<string, Source> {
  let all = parsed.get(tree)
  if (all !== undefined) return all
  all = new Map()
  for (const file of tree.paths) if (file.endsWith('.ts')) all.set(file, parse(file, tree.text(file) ?? ''))
  parsed.set(tree, all)
  return all
}

function parse(file: string, text: string): Source {
  const result = parseSync(file, text)
  const [problem] = result.errors
  if (problem !== undefined) throw new Error(`Cannot parse ${file}: ${problem.message}`)
  const lineOf = lineFinder(text)
  const program = result.program as unknown as Node
  return { file, text, program, imports: importsOf(program, lineOf), lineOf }
}

function lineFinder(text: string): (position: number) => number {
  const starts = [0]
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1)
  return position => {
    let low = 0
    let high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((starts[middle] ?? 0) <= position) low = middle
      else high = middle - 1
    }
    return low + 1
  }
}

function importsOf(program: Node, lineOf: (position: number) => number): Import[] {
  const found: Import[] = []
  walk(program, node => {
    const specifier = (node.source as Node | null | undefined)?.value ?? (node.argument as Node | undefined)?.value
    if (typeof specifier !== 'string') return
    const line = lineOf(node.start)
    switch (node.type) {
      case 'ImportDeclaration':
      case 'ExportNamedDeclaration':
        return void found.push({ specifier, ...importedNames(node), lazy: false, line })
      case 'ExportAllDeclaration':
        return void found.push({ specifier, names: ['*'], typeOnly: node.exportKind === 'type', lazy: false, line })
      case 'ImportExpression':
        return void found.push({ specifier, names: [], typeOnly: false, lazy: true, line })
      case 'TSImportType':
        return void found.push({ specifier, names: [], typeOnly: true, lazy: false, line })
    }
  })
  return found
}

function importedNames(node: Node): { names: string[]; typeOnly: boolean } {
  const names: string[] = []
  let typeOnly = node.importKind === 'type' || node.exportKind === 'type'
  const specifiers = (node.specifiers as Node[]) ?? []
  for (const specifier of specifiers) {
    if (specifier.type === 'ImportDefaultSpecifier') names.push('default')
    else if (specifier.type === 'ImportNamespaceSpecifier') names.push('*')
    else names.push(String(((specifier.imported ?? specifier.local) as Node).name))
  }
  const kinds = specifiers.map(specifier => specifier.importKind ?? specifier.exportKind)
  if (kinds.length > 0 && kinds.every(kind => kind === 'type')) typeOnly = true
  return { names, typeOnly }
}

/** Calls `visit` for every node, parents first. */
export function walk(node: Node, visit: (node: Node, parent: Node | undefined) => void, parent?: Node): void {
  visit(node, parent)
  for (const field in node) {
    const value = node[field]
    if (Array.isArray(value)) {
      for (const item of value) if (isNode(item)) walk(item, visit, node)
    } else if (isNode(value)) walk(value, visit, node)
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'
}

/** Tests, and the asking sides of protocols, which no broker loads: they may reach for anything. */
export const isTest = (file: string): boolean =>
  file.endsWith('.test.ts') || /\/protocols\/[^/]+\/driver\.ts$/.test(file) || /\/testing\//.test(file)
