import type { Codec, Write } from '@dragoman/wire'
import { apis, type ApiName } from '../../../../packages/broker/src/protocols/kafka/messages/index.ts'

/** What is known of the broker that is asked: ids that it chose itself. */
export interface Known {
  brokerId: number
  topicIds: ReadonlyMap<string, string>
}

/** One request, sent to both brokers in the same state. */
export interface Case {
  name: string
  api: ApiName
  version: number
  body(known: Known): unknown
}

type Body<N extends ApiName> = Write<(typeof apis)[N]['request']>

/** In a newest version unless said otherwise: the same words in every version would tell nothing new. */
export function asks<N extends ApiName>(
  name: string,
  api: N,
  body: Body<N> | ((known: Known) => Body<N>),
  version: number = newest(api),
): Case {
  const make = typeof body === 'function' ? (body as (known: Known) => Body<N>) : () => body
  return { name: `${apis[api].name} ${version}: ${name}`, api, version, body: make }
}

/** The same request in all versions that take it. */
export function asksInAll<N extends ApiName>(
  name: string,
  api: N,
  body: Body<N> | ((known: Known) => Body<N>),
  from = 0,
): Case[] {
  const [first, last] = apis[api].versions
  const cases: Case[] = []
  for (let version = Math.max(first, from); version <= last; version++) cases.push(asks(name, api, body, version))
  return cases
}

function newest(api: ApiName): number {
  return (apis[api] as { request: Codec<unknown>; versions: readonly [number, number] }).versions[1]
}

/** An id that no topic has. */
export const otherId = 'f'.repeat(31) + '1'
export const nilId = '0'.repeat(32)
/** Kinds of resources that have a configuration. */
export const types = { topic: 2, broker: 4, logger: 8, metrics: 16, group: 32 } as const
/** How long a change may take. */
export const timeoutMs = 10_000
