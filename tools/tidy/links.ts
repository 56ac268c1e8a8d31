import path from 'node:path'
import type { Finding, Tree } from './tree.ts'

const link = /\]\(([^)\s#]+)(?:#[^)]*)?\)/g
const namedFile = /`([\w@.-]+(?:\/[\w@.-]+)+\.(?:ts|js|json|md))`/g

/** Links and file names in prose lead to something. What stands in fenced code is an example and may be invented. */
export function checkLinks(tree: Tree): Finding[] {
  const findings: Finding[] = []
  const folders = new Set(tree.paths.flatMap(parents))
  const exists = (file: string): boolean => tree.paths.includes(file) || folders.has(file)
  for (const file of tree.paths) {
    if (!file.endsWith('.md')) continue
    for (const [index, line] of prose(tree.text(file) ?? '').entries()) {
      for (const [, target = ''] of line.matchAll(link)) {
        if (/^[a-z]+:/.test(target)) continue
        const resolved = path.posix.join(path.posix.dirname(file), target).replace(/\/$/, '')
        if (!exists(resolved)) {
          findings.push({
            file,
            line: index + 1,
            message: `The link leads to ${resolved}, which is not there: correct it.`,
          })
        }
      }
      for (const [, named = ''] of line.matchAll(namedFile)) {
        if (named.includes('NN-') || tree.paths.some(other => other === named || other.endsWith(`/${named}`))) continue
        findings.push({
          file,
          line: index + 1,
          message: `\`${named}\` is named, but there is no such file: correct it.`,
        })
      }
    }
  }
  return findings
}

/** The lines of a page, with those inside fences empty. */
function prose(text: string): string[] {
  let fenced = false
  return text.split('\n').map(line => {
    const fence = line.trimStart().startsWith('```')
    if (fence) fenced = !fenced
    return fence || fenced ? '' : line
  })
}

function parents(file: string): string[] {
  const parts = file.split('/')
  return parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'))
}
