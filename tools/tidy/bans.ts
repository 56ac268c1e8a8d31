import { layerOf } from './layers.ts'
import { isTest, sources, walk, type Finding, type Node, type Source, type Tree } from './tree.ts'

/**
 * The outside world: only `runtime/` may touch it, because the simulator replaces `runtime/` and nothing else.
 * A module that is named here is refused whole, or, where names are given, only for those.
 */
const bannedModules: Record<string, true | readonly string[]> = {
  'node:fs': true,
  'node:fs/promises': true,
  'node:net': true,
  'node:tls': true,
  'node:dgram': true,
  'node:dns': true,
  'node:dns/promises': true,
  'node:http': true,
  'node:https': true,
  'node:http2': true,
  'node:os': true,
  'node:process': true,
  'node:child_process': true,
  'node:cluster': true,
  'node:worker_threads': true,
  'node:timers': true,
  'node:timers/promises': true,
  'node:perf_hooks': true,
  'node:async_hooks': true,
  'node:events': true,
  'node:crypto': [
    '*',
    'default',
    'randomBytes',
    'randomFill',
    'randomInt',
    'randomUUID',
    'webcrypto',
    'getRandomValues',
  ],
}

/** Globals that are refused however they are used. */
const bannedGlobals = new Set([
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'crypto',
  'fetch',
  'WebSocket',
  'navigator',
])

/** Members of globals that are otherwise harmless. */
const bannedMembers: Record<string, readonly string[]> = {
  Date: ['now'],
  Math: ['random'],
  process: ['hrtime', 'nextTick', 'exit', 'env', 'on', 'once', 'argv', 'stdout', 'stderr', 'kill', 'uptime', 'abort'],
  Atomics: ['wait', 'waitAsync'],
}

/** Files outside `runtime/` that need something of the above, and why. */
export const exceptions: Record<string, { names: readonly string[]; why: string }> = {
  'packages/broker/src/main.ts': {
    names: ['process.stderr'],
    why: 'Where the log goes unless the embedder says otherwise.',
  },
}

const advice =
  'Only runtime/ touches the outside world; take it from the Runtime, Ledger or SessionContext that you are handed.'

export function checkBans(tree: Tree): Finding[] {
  const findings: Finding[] = []
  for (const source of sources(tree).values()) {
    const layer = layerOf(source.file)
    if (layer === undefined || layer === 'runtime' || isTest(source.file)) continue
    const allowed = exceptions[source.file]?.names ?? []
    for (const { name, line } of [...bannedImports(source), ...bannedUses(source)]) {
      if (!allowed.includes(name))
        findings.push({ file: source.file, line, message: `Cannot use ${name} in ${layer}. ${advice}` })
    }
  }
  return findings
}

interface Use {
  name: string
  line: number
}

function bannedImports(source: Source): Use[] {
  return source.imports.flatMap(({ specifier, names, typeOnly, line }) => {
    const ban = bannedModules[specifier.startsWith('node:') ? specifier : `node:${specifier}`]
    if (ban === undefined || typeOnly) return []
    if (ban === true) return [{ name: specifier, line }]
    return names.filter(name => ban.includes(name)).map(name => ({ name: `${specifier} ${name}`, line }))
  })
}

function bannedUses(source: Source): Use[] {
  const uses: Use[] = []
  const declared = declaredNames(source)
  walk(source.program, (node, parent) => {
    if (node.type !== 'Identifier' || parent === undefined || !isReference(node, parent)) return
    if (declared.has(String(node.name))) return
    const name = bannedUse(node, parent)
    if (name !== undefined) uses.push({ name, line: source.lineOf(node.start) })
  })
  return uses
}

/** Names that the file gives a meaning of its own: `fetch` may be one of its functions. */
function declaredNames(source: Source): Set<string> {
  const names = new Set<string>()
  const add = (node: unknown): void => void names.add(String((node as Node | null | undefined)?.name))
  walk(source.program, node => {
    if (/^Import.*Specifier$/.test(node.type)) add(node.local)
    else if (node.type === 'VariableDeclarator' || node.type === 'FunctionDeclaration') add(node.id)
    if (Array.isArray(node.params)) node.params.forEach(add)
  })
  return names
}

function bannedUse(node: Node, parent: Node): string | undefined {
  const name = String(node.name)
  if (bannedGlobals.has(name)) return name
  if (name === 'Date') {
    // `new Date(ms)` only converts; without arguments it reads the clock.
    if (parent.type === 'NewExpression' && (parent.arguments as Node[]).length === 0) return 'new Date()'
    if (parent.type === 'CallExpression' && parent.callee === node) return 'Date()'
  }
  const members = bannedMembers[name]
  if (members === undefined || parent.type !== 'MemberExpression' || parent.object !== node) return undefined
  const member = String((parent.property as Node).name ?? (parent.property as Node).value)
  return members.includes(member) ? `${name}.${member}` : undefined
}

/** Not a name that is being declared, a property's name or a word of the type language. */
function isReference(node: Node, parent: Node): boolean {
  if (parent.type.startsWith('TS') && parent.type !== 'TSAsExpression' && parent.type !== 'TSNonNullExpression')
    return false
  if (parent.type === 'MemberExpression') return parent.object === node || parent.computed === true
  if ('key' in parent && parent.key === node) return parent.shorthand === true || parent.computed === true
  if (parent.type === 'VariableDeclarator') return parent.init === node
  if (/^(Import|Export).*Specifier$/.test(parent.type)) return false
  if (/Function/.test(parent.type)) return parent.body === node
  return true
}
