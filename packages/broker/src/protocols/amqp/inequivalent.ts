import type { HeaderValue } from '../../core/message.ts'
import { AmqpException } from './errors.ts'
import { fieldValue } from './mapping.ts'
import type { FieldType } from './table.ts'

/** What is declared again with something else: in the words that clients know. */
export function inequivalent(
  what: string,
  name: string,
  current: HeaderValue | undefined,
  received: HeaderValue | undefined,
): AmqpException {
  const isOneMissing = current === undefined || received === undefined
  const show = (value: HeaderValue | undefined): string => {
    if (value === undefined) return 'none'
    if (!isOneMissing) return `'${String(value)}'`
    return `the value '${String(value)}' of type '${typeNames[fieldValue(value).type] ?? 'table'}'`
  }
  const explanation = `inequivalent arg '${name}' for ${what}: received ${show(received)} but current is ${show(current)}`
  return new AmqpException('preconditionFailed', explanation)
}

const typeNames: Partial<Record<FieldType, string>> = {
  t: 'bool',
  I: 'signedint',
  l: 'long',
  d: 'double',
  S: 'longstr',
  x: 'binary',
  A: 'array',
  V: 'void',
}
