/**
 * Whether texts match a pattern: `%` stands for any characters, `_` for one, and behind the escape character both stand for themselves. What it costs
 * is bounded by the lengths of text and pattern.
 */
export function likePattern(pattern: string, escape: string | undefined): (text: string) => boolean {
  const pieces = piecesOf(pattern, escape)
  const [first = noPiece, ...rest] = pieces
  const last = rest.pop()
  if (!last) return text => lengthAt(first, text, 0) === text.length
  return text => {
    let at = lengthAt(first, text, 0)
    if (at < 0) return false
    for (const piece of rest) {
      at = endOf(piece, text, at)
      if (at < 0) return false
    }
    return endsWith(last, text, at)
  }
}

/** What stands between two `%`: texts, with a `_` between each and the next. */
interface Piece {
  readonly texts: readonly string[]
  /** Units of the texts alone, without what `_` stands for. */
  readonly units: number
}

const noPiece: Piece = { texts: [''], units: 0 }

function piecesOf(pattern: string, escape: string | undefined): Piece[] {
  const pieces: string[][] = [['']]
  let isEscaped = false
  for (const character of pattern) {
    const texts = pieces.at(-1) ?? []
    if (!isEscaped && character === escape) isEscaped = true
    else if (!isEscaped && character === '%') pieces.push([''])
    else if (!isEscaped && character === '_') texts.push('')
    else {
      texts[texts.length - 1] += character
      isEscaped = false
    }
  }
  return pieces.map(texts => ({ texts, units: texts.reduce((sum, { length }) => sum + length, 0) }))
}

/** Behind the piece, when it stands at `at`; else -1. */
function lengthAt({ texts }: Piece, text: string, from: number): number {
  let at = from
  for (let index = 0; index < texts.length; index++) {
    if (index > 0) {
      if (at >= text.length) return -1
      at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
    }
    const part = texts[index] ?? ''
    if (!text.startsWith(part, at)) return -1
    at += part.length
  }
  return at
}

/** Behind the first place at or behind `from` where the piece stands; -1: nowhere. */
function endOf(piece: Piece, text: string, from: number): number {
  const [only = ''] = piece.texts
  if (piece.texts.length === 1) {
    const found = text.indexOf(only, from)
    return found < 0 ? -1 : found + only.length
  }
  const last = text.length - piece.units - (piece.texts.length - 1)
  for (let at = from; at <= last; at++) {
    if (isWithinPair(text, at)) continue
    const end = lengthAt(piece, text, at)
    if (end >= 0) return end
  }
  return -1
}

function endsWith(piece: Piece, text: string, from: number): boolean {
  if (piece.texts.length === 1) return text.length - piece.units >= from && text.endsWith(piece.texts[0] ?? '')
  // What `_` stands for is one unit or two.
  const blanks = piece.texts.length - 1
  for (let at = Math.max(from, text.length - piece.units - 2 * blanks); at <= text.length; at++) {
    if (!isWithinPair(text, at) && lengthAt(piece, text, at) === text.length) return true
  }
  return false
}

/** Whether a character that takes two units has its second at `at`. */
function isWithinPair(text: string, at: number): boolean {
  const unit = text.charCodeAt(at)
  return at > 0 && unit >= 0xdc00 && unit <= 0xdfff && (text.codePointAt(at - 1) ?? 0) > 0xffff
}
