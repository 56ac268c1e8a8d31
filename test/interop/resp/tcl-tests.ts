/** A test of a file in Tcl: its name, where variables stand for any text, and its body. */
export interface TclTest {
  readonly name: string
  readonly body: string
}

/** The tests of a file: `test {NAME} {BODY} …` or `test "NAME" {BODY} …`. */
export function testsOf(source: string): TclTest[] {
  const found: TclTest[] = []
  for (const match of source.matchAll(
    /^[ \t]*test[ \t]+(?:\{([^{}\n]*(?:\{[^{}\n]*\}[^{}\n]*)*)\}|"((?:[^"\\\n]|\\.)*)")[ \t]*\{/gm,
  )) {
    const name = match[1] ?? match[2] ?? ''
    found.push({ name, body: braced(source, match.index + match[0].length) })
  }
  return found
}

/** Up to the brace that closes the one before `from`. */
function braced(source: string, from: number): string {
  let depth = 1
  for (let at = from; at < source.length; at++) {
    const character = source[at]
    if (character === '\\') at++
    else if (character === '{') depth++
    else if (character === '}' && --depth === 0) return source.slice(from, at)
  }
  return source.slice(from)
}

/** A pattern that the harness takes for a name: what is in braces is meant as it is, and variables are any text. */
export function patternOf({ name }: TclTest): string {
  const parts = name.split(/\$(?:\{\w+\}|\w+)/)
  return `/^${parts.map(part => part.replaceAll(/[.*+?^$()|[\]\\{}]/g, String.raw`\$&`)).join('.*')}$`
}

/** Words of commands in a body: first words of calls of the client, and of what is sent in other ways. */
export function usesAny(body: string, words: readonly string[]): string | undefined {
  return words.find(word =>
    new RegExp(String.raw`(?:^|[\s\[{"])(?:r|\$\w+|rd\d?|\{\*\}\$\w+)\s+${word}(?:\s|\]|$)`, 'im').test(body),
  )
}
