const escapes: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', a: '\x07' }
const isBlank = (character: string | undefined): boolean =>
  character !== undefined && ' \t\n\r\v\f\0'.includes(character)

/** The words of a line, as in a shell: `"…"` with escapes, `'…'` without. Undefined when quotes do not match. [sds.c, sdssplitargs] */
export function splitInline(line: Buffer): Buffer[] | undefined {
  const text = line.toString('latin1')
  const words: Buffer[] = []
  let at = 0
  for (;;) {
    while (isBlank(text[at])) at++
    if (at >= text.length) return words
    const found = word(text, at)
    if (!found) return undefined
    words.push(Buffer.from(found.word, 'latin1'))
    at = found.end
  }
}

function word(text: string, from: number): { word: string; end: number } | undefined {
  let word = ''
  let at = from
  while (at < text.length && !isBlank(text[at])) {
    const character = text[at]!
    if (character !== '"' && character !== "'") {
      word += character
      at++
      continue
    }
    const found = character === '"' ? doubleQuoted(text, at + 1) : singleQuoted(text, at + 1)
    // A word ends where its quotes do.
    if (!found || (found.end < text.length && !isBlank(text[found.end]))) return undefined
    word += found.word
    at = found.end
  }
  return { word, end: at }
}

function doubleQuoted(text: string, from: number): { word: string; end: number } | undefined {
  let word = ''
  for (let at = from; at < text.length; at++) {
    const character = text[at]!
    if (character === '"') return { word, end: at + 1 }
    if (character !== '\\' || at + 1 >= text.length) {
      word += character
      continue
    }
    const hex = /^x([0-9a-fA-F]{2})/.exec(text.slice(at + 1, at + 4))
    if (hex) {
      word += String.fromCharCode(Number.parseInt(hex[1]!, 16))
      at += 3
    } else {
      const next = text[++at]!
      word += escapes[next] ?? next
    }
  }
  return undefined
}

function singleQuoted(text: string, from: number): { word: string; end: number } | undefined {
  let word = ''
  for (let at = from; at < text.length; at++) {
    if (text[at] === "'") return { word, end: at + 1 }
    if (text[at] === '\\' && text[at + 1] === "'") at++
    word += text[at]!
  }
  return undefined
}
