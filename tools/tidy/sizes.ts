import { isTest, sources, walk, type Finding, type Tree } from './tree.ts'

export const fileLinesMax = 600
export const functionLinesMax = 70

/** Tables and the like, which are no easier to read in pieces: what may be longer, and why. */
export const longOnPurpose: Record<string, string> = {}

export function checkSizes(tree: Tree): Finding[] {
  const findings: Finding[] = []
  for (const source of sources(tree).values()) {
    if (source.file in longOnPurpose) continue
    const lines = source.text.trimEnd().split('\n').length
    if (lines > fileLinesMax) {
      findings.push({
        file: source.file,
        line: fileLinesMax,
        message: `${lines} lines are too many (at most ${fileLinesMax}, aim for 120): split it by noun.`,
      })
    }
    if (isTest(source.file)) continue
    walk(source.program, (node, parent) => {
      if (!/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) return
      const first = source.lineOf(node.start)
      const count = source.lineOf(node.end) - first + 1
      if (count <= functionLinesMax) return
      const name = nameOf(node.id) ?? nameOf(parent?.key) ?? nameOf(parent?.id) ?? 'This function'
      findings.push({
        file: source.file,
        line: first,
        message: `${name} has ${count} lines (at most ${functionLinesMax}): keep the branches, move the work into helpers below it.`,
      })
    })
  }
  return findings
}

function nameOf(node: unknown): string | undefined {
  const name = (node as { name?: unknown } | null | undefined)?.name
  return typeof name === 'string' ? name : undefined
}
