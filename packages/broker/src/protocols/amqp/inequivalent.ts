import type { HeaderValue } from '../../core/message.ts'
import { AmqpException } from './errors.ts'
import { fieldValue } from './mapping.ts'
import type { FieldType } from './table.ts'

/**
 * What is declared again with something else: in the words that clients know. `type` is that of the argument as it came; of the one that is kept, only what
 * kind of value it is is known.
 */
export function inequivalent(
  what: string,
  name: string,
  current: HeaderValue | undefined,
  received: HeaderValue | undefined,
  type?: FieldType,
): AmqpException {
  const isOneMissing = current === undefined || received === undefined
  const show = (value: HeaderValue | undefined, given: FieldType | undefined): string => {
    if (value === undefined) return 'none'
    if (!isOneMissing) return `'${String(value)}'`
    return `the value '${String(value)}' of type '${typeNames[given ?? kindOf(value)]}'`
  }
  const explanation = `inequivalent arg '${name}' for ${what}: received ${show(received, type)} but current is ${show(current, undefined)}`
  return new AmqpException('preconditionFailed', explanation)
}

function kindOf(value: HeaderValue): FieldType {
  return typeof value === 'bigint' && BigInt.asIntN(32, value) === value ? 'I' : fieldValue(value).type
}

const typeNames: Readonly<Record<FieldType, string>> = {
  t: 'bool',
  b: 'byte',
  B: 'unsignedbyte',
  s: 'short',
  u: 'unsignedshort',
  I: 'signedint',
  i: 'unsignedint',
  l: 'long',
  L: 'long',
  f: 'float',
  d: 'double',
  D: 'decimal',
  S: 'longstr',
  T: 'timestamp',
  x: 'binary',
  A: 'array',
  F: 'table',
  V: 'void',
}
