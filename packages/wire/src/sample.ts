import { fresh, inRange, scalarOf, versionOf, type Node } from './node.ts'
import type { Random } from './random.ts'
import { scalarTraits, type Scalar, type ScalarName } from './scalar.ts'

const listItemsMax = 4
const textLengthMax = 40
const letters = 'abcdefghijklmnopqrstuvwxyz.-_ABC012'.split('')
const wideLetters = ['é', 'ж', '漢', '🜁']

/** A random value that survives a round trip in this version: what is not on the wire holds its fallback. */
export function sampleValue(node: Node, random: Random, version?: number): unknown {
  const meant = versionOf(node, version)
  if (meant === undefined) throw new RangeError(`Cannot sample version ${version}`)
  return sample(node, random, meant.version, meant.flexible)
}

function sample(node: Node, random: Random, version: number, flexible: boolean): unknown {
  switch (node.kind) {
    case 'scalar':
      return sampleScalar(node.name, random)
    case 'flex':
      return sampleScalar(scalarOf(node, flexible), random)
    case 'refer':
      return sampleScalar(node.nullable ? 'nullableBytes32' : 'bytes32', random)
    case 'raw':
      return random.bytes(node.length)
    case 'custom':
      return node.form.sample(random)
    case 'rest':
      return sampleBytes(random)
    case 'list': {
      if (node.nullable && random.chance(0.15)) return null
      return Array.from({ length: random.below(listItemsMax + 1) }, () => sample(node.of, random, version, flexible))
    }
    case 'flags':
      return Object.fromEntries(Object.keys(node.bits).map(name => [name, random.chance(0.5)]))
    case 'struct':
      return Object.fromEntries(node.fields.map(field => [field.name, sample(field.node, random, version, flexible)]))
    case 'nullable':
      return random.chance(0.3) ? null : sample(node.of, random, version, flexible)
    case 'ranged':
      return inRange(node, version) ? sample(node.of, random, version, flexible) : fresh(node.fallback)
    case 'tagged': {
      const present = flexible && inRange(node, version) && random.chance(0.6)
      return present ? sample(node.of, random, version, flexible) : fresh(node.fallback)
    }
    case 'message':
      return sample(node.of, random, version, flexible)
  }
}

function sampleScalar(name: ScalarName, random: Random): Scalar {
  const { form, nullable, range } = scalarTraits(name)
  if (nullable && random.chance(0.2)) return null
  switch (form) {
    case 'integer':
      return sampleInteger(random, ...(range ?? [0, 0]))
    case 'bigint':
      return random.chance(0.3) ? BigInt(random.below(3) - 1) : random.bigint64()
    case 'float':
      return random.chance(0.3) ? random.pick([0, 1, -1, Infinity, 1e-300]) : random.float() * 1e6 - 5e5
    case 'bool':
      return random.chance(0.5)
    case 'uuid':
      return random.bytes(16).toString('hex')
    case 'text':
      return sampleText(random)
    case 'bytes':
      return sampleBytes(random)
  }
}

/** The edges, small magnitudes and the whole range are each drawn often. */
function sampleInteger(random: Random, low: number, high: number): number {
  const draw = random.float()
  if (draw < 0.2) return random.pick([low, high, 0, 1, Math.max(low, -1)])
  if (draw < 0.6) return random.between(Math.max(low, -300), Math.min(high, 300))
  const value = low + Math.floor(random.float() * (high - low))
  return Math.min(high, Math.max(low, value))
}

function sampleText(random: Random): string {
  const alphabet = random.chance(0.7) ? letters : [...letters, ...wideLetters]
  const length = random.below(random.chance(0.1) ? 60 : textLengthMax) // At most 240 bytes: a string8 holds 255.
  return Array.from({ length }, () => random.pick(alphabet)).join('')
}

function sampleBytes(random: Random): Buffer {
  return random.bytes(random.below(random.chance(0.05) ? 3_000 : textLengthMax))
}
