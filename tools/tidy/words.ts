import { sources, type Finding, type Tree } from './tree.ts'

const marker = /\b(TODO|FIXME|XXX|HACK)\b/

/** Notes to oneself belong to the issue tracker, where they are read. */
export function checkMarkers(tree: Tree): Finding[] {
  const findings: Finding[] = []
  for (const source of sources(tree).values()) {
    if (source.file.startsWith('tools/tidy/')) continue
    for (const [index, line] of source.text.split('\n').entries()) {
      const found = marker.exec(line)?.[0]
      if (found === undefined) continue
      findings.push({
        file: source.file,
        line: index + 1,
        message: `Cannot leave ${found} in the code: do it, or say as a fact what does not work and why.`,
      })
    }
  }
  return findings
}
