/** The package has binaries for the usual platforms; elsewhere all is summed in JavaScript, at a tenth of the speed. */
const native = await import('@node-rs/crc32').then(
  found => found.crc32c,
  () => undefined,
)

const tables = makeTables()
const [t0, t1, t2, t3] = tables

/**
 * CRC-32C (Castagnoli) of `bytes[start, end)`, continued from the sum of what came before. In JavaScript while the call into
 * native code would cost more than the sum.
 */
export function crc32c(bytes: Buffer, start = 0, end = bytes.length, previous = 0): number {
  if (native && end - start > nativeFromBytes) return native(bytes.subarray(start, end), previous) >>> 0
  let crc = ~previous
  let at = start
  for (; at + 4 <= end; at += 4) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    crc = t3[crc & 0xff]! ^ t2[(crc >>> 8) & 0xff]! ^ t1[(crc >>> 16) & 0xff]! ^ t0[crc >>> 24]!
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ t0[(crc ^ bytes[at]!) & 0xff]!
  return ~crc >>> 0
}

/** Where a native call (about 110 ns whatever the length) begins to win over 1 ns a byte. */
const nativeFromBytes = 96

function makeTables(): [Int32Array, Int32Array, Int32Array, Int32Array] {
  const made = [new Int32Array(256), new Int32Array(256), new Int32Array(256), new Int32Array(256)] as const
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    made[0][byte] = crc
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let k = 1; k < 4; k++) {
      const previous = made[k - 1]![byte]!
      made[k]![byte] = (previous >>> 8) ^ made[0][previous & 0xff]!
    }
  }
  return [...made]
}

/**
 * The sum of two stretches that lie together, from the sums of each: what was summed before is not read again. Takes about
 * a microsecond, whatever the length of the second one.
 */
export function combineCrc32c(first: number, second: number, secondBytes: number): number {
  let power = 0x80000000
  // Bytes are eight bits: x^(8n) is a product of the powers x^(2^k), from k = 3 on.
  for (let left = secondBytes, k = 3; left > 0; left = Math.floor(left / 2), k++) {
    if (left % 2 === 1) power = multiply(squares[k]!, power)
  }
  return (multiply(power, first) ^ second) >>> 0
}

/** x^(2^k) modulo the polynomial, in reflected bits; enough for any length of 32 bits. */
const squares = makeSquares()

function makeSquares(): number[] {
  const made = [0x40000000]
  for (let k = 1; k < 36; k++) made.push(multiply(made[k - 1]!, made[k - 1]!))
  return made
}

/** Product of two polynomials over GF(2), modulo the polynomial of the sum, in reflected bits. */
function multiply(a: number, b: number): number {
  let product = 0
  let factor = b
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if (a & bit) product ^= factor
    factor = factor & 1 ? (factor >>> 1) ^ 0x82f63b78 : factor >>> 1
  }
  return product >>> 0
}
