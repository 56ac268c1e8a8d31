import { registerHooks } from 'node:module'

/**
 * Rules of the broker, each with a change of its source that breaks it. A scenario loaded as `scenario.ts?broken=NAME` runs on
 * a copy of the broker with that change, and its checkers must notice: this is how the checkers themselves are checked.
 */
export interface BrokenRule {
  /** Path below `packages/broker/src`. */
  file: string
  find: string
  replace: string
}

/** A scenario module, on the broker as it is or with one rule broken. */
export async function loadBroken<T>(url: URL, rule: string | undefined): Promise<T> {
  if (rule === undefined) return (await import(url.href)) as T
  installHooks()
  const broken = new URL(url)
  broken.searchParams.set('broken', rule)
  return (await import(broken.href)) as T
}

let isInstalled = false
const rules = new Map<string, BrokenRule>()

export function declareBroken(table: Record<string, BrokenRule>): void {
  for (const [name, rule] of Object.entries(table)) rules.set(name, rule)
}

function installHooks(): void {
  if (isInstalled) return
  isInstalled = true
  registerHooks({
    // The mark is handed from importer to imported: each broken rule has a broker of its own, beside the others.
    resolve: (specifier, context, next) => {
      const resolved = next(specifier, context)
      const rule = brokenRuleOf(context.parentURL)
      if (rule === undefined || !/\/(packages\/broker|test\/simulation)\//.test(resolved.url)) return resolved
      const url = new URL(resolved.url)
      url.searchParams.set('broken', rule)
      return { ...resolved, url: url.href }
    },
    load: (url, context, next) => {
      const loaded = next(url, context)
      const rule = rules.get(brokenRuleOf(url) ?? '')
      if (!rule || !new URL(url).pathname.endsWith(`/packages/broker/src/${rule.file}`)) return loaded
      return { ...loaded, source: breakRule(String(loaded.source), rule) }
    },
  })
}

function brokenRuleOf(url: string | undefined): string | undefined {
  return url?.startsWith('file:') ? (new URL(url).searchParams.get('broken') ?? undefined) : undefined
}

function breakRule(source: string, { file, find, replace }: BrokenRule): string {
  const pieces = source.split(find)
  if (pieces.length !== 2)
    throw new Error(`${file} holds ${pieces.length - 1} times what would break the rule: ${find}`)
  return pieces.join(replace)
}
