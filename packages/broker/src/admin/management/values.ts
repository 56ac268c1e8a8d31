import type { Header, HeaderValue } from '../../core/message.ts'
import { fieldValue, hubValue } from '../../protocols/amqp/mapping.ts'
import type { Field, FieldValue, Table } from '../../protocols/amqp/table.ts'
import { isFields } from './call.ts'
import { badRequest } from './errors.ts'

const depthMax = 32

/** Arguments and headers as clients write them in JSON. Throws `Refusal`. */
export function tableOf(value: unknown, what: string): Table {
  if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) return []
  if (!isFields(value)) throw badRequest(`${what} must be an object`)
  return Object.entries(value).map(([name, of]): Field => ({ name, ...fieldValue(headerValue(of, 0)) }))
}

export function headersOf(value: unknown, what: string): Header[] {
  return tableOf(value, what).map(({ name, ...field }) => ({ name, value: hubValue(field) }))
}

function headerValue(value: unknown, depth: number): HeaderValue {
  if (depth > depthMax) throw badRequest(`values are nested more than ${depthMax} deep`)
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value
  if (typeof value === 'string' || typeof value === 'boolean' || value === null || value === undefined) {
    return value ?? null
  }
  if (Array.isArray(value)) return value.map((item: unknown) => headerValue(item, depth + 1))
  if (isFields(value)) return new Map(Object.entries(value).map(([name, of]) => [name, headerValue(of, depth + 1)]))
  throw badRequest('a value has a type that there is not')
}

/** A value as JSON shows it. */
export function jsonOf(value: HeaderValue): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Uint8Array) return Buffer.from(value).toString()
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([name, of]) => [name, jsonOf(of)]))
  if ('timeMs' in value) return Math.floor(value.timeMs / 1000)
  return (value as readonly HeaderValue[]).map(jsonOf)
}

export function jsonOfHeaders(headers: readonly Header[]): Record<string, unknown> {
  return Object.fromEntries(headers.map(({ name, value }) => [name, jsonOf(value)]))
}

/** As `jsonOf`, of a value with a type of the wire. */
export const jsonOfField = (field: FieldValue): unknown => jsonOf(hubValue(field))
