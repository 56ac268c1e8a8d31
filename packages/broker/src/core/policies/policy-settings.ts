import { BrokerError } from '../errors.ts'
import type { Header, HeaderValue } from '../message.ts'
import { checkExchangeName, quote } from '../names.ts'
import { argumentProblem, queueSettings, topicSettings } from '../queues/arguments.ts'
import { hintPrefix } from '../hints.ts'
import { queueConfig } from '../queues/queue-config.ts'
import { defaultExchange } from '../routing/exchange.ts'
import type { PolicyRank } from './machine.ts'

/** What a policy may say, and what comes of it. */
interface Row {
  /** Whether operators may say it, too. */
  readonly isOperators?: boolean
  /** It is for topics alone, which are queues of the type stream. */
  readonly isStreams?: boolean
  /** What the argument is called that says the same of a single queue. Absent: no queue has such an argument. */
  readonly argument?: string
  /** Instead of what an argument of that name must be. */
  readonly problem?: (value: HeaderValue) => string | undefined
}

const argument = (name: string, isOperators = false): Row => ({ argument: `x-${name}`, isOperators })
/** Taken and told again, and of no effect: it has no meaning where every message is on the disk of one broker. */
const hint: Row = { problem: () => undefined }

const rows: Readonly<Record<string, Row>> = {
  'message-ttl': argument('message-ttl', true),
  expires: argument('expires', true),
  'max-length': argument('max-length', true),
  'max-length-bytes': argument('max-length-bytes', true),
  'delivery-limit': argument('delivery-limit', true),
  overflow: argument('overflow', true),
  'dead-letter-exchange': argument('dead-letter-exchange'),
  'dead-letter-routing-key': argument('dead-letter-routing-key'),
  'dead-letter-strategy': argument('dead-letter-strategy'),
  'queue-mode': argument('queue-mode'),
  'queue-version': argument('queue-version'),
  'max-in-memory-length': argument('max-in-memory-length', true),
  'max-in-memory-bytes': argument('max-in-memory-bytes', true),
  'queue-leader-locator': argument('queue-leader-locator'),
  'queue-master-locator': argument('queue-master-locator'),
  'alternate-exchange': { problem: exchangeProblem },
  'ha-mode': hint,
  'ha-params': hint,
  'ha-sync-mode': hint,
  'ha-sync-batch-size': hint,
  'ha-promote-on-shutdown': hint,
  'ha-promote-on-failure': hint,
  'target-group-size': { ...hint, isOperators: true },
  'initial-cluster-size': hint,
  'federation-upstream': hint,
  'federation-upstream-set': hint,
  'federation-upstream-pattern': hint,
  'max-age': { argument: 'x-max-age', isStreams: true },
  'stream-max-segment-size-bytes': hint,
  'stream-filter-size-bytes': hint,
  'consumer-timeout': hint,
}

function exchangeProblem(value: HeaderValue): string | undefined {
  if (typeof value !== 'string') return 'expected the name of an exchange'
  try {
    if (value !== defaultExchange) checkExchangeName(value)
    return undefined
  } catch (error) {
    if (error instanceof BrokerError) return error.message
    throw error
  }
}

/** Throws `BrokerError` `config-invalid` that names what a policy cannot say. */
export function checkDefinition(rank: PolicyRank, definition: readonly Header[]): void {
  if (definition.length === 0) throw new BrokerError('config-invalid', 'a policy says something')
  for (const { name, value } of definition) {
    const row = Object.hasOwn(rows, name) ? rows[name] : undefined
    if (!row) throw new BrokerError('config-invalid', `[${quote(name)}] are not recognised policy settings`)
    if (rank === 'operator' && row.isOperators !== true) {
      throw new BrokerError('config-invalid', `[${quote(name)}] are not recognised operator policy settings`)
    }
    const problem = row.argument === undefined ? row.problem?.(value) : argumentProblemOf(row, row.argument, value)
    if (problem !== undefined) throw new BrokerError('config-invalid', `${quote(name)}: ${problem}`)
  }
  queueConfig(queueSettingsOf(definition))
}

/** Alone: what an argument needs besides may come from the queue. */
function argumentProblemOf({ isStreams }: Row, name: string, value: HeaderValue): string | undefined {
  const type = isStreams === true ? [{ name: 'x-queue-type', value: 'stream' }] : []
  const besides = name === 'x-dead-letter-routing-key' ? [{ name: 'x-dead-letter-exchange', value: '' }] : type
  return argumentProblem([...besides, { name, value }])?.text
}

/** The settings of queues that a policy gives. */
export function queueSettingsOf(definition: readonly Header[]): Map<string, string> {
  const given = definition.flatMap(({ name, value }) => {
    const row = rows[name]
    return row?.argument === undefined ? [] : [{ name: row.argument, value }]
  })
  return new Map([...queueSettings(given)].filter(([name]) => !name.startsWith(hintPrefix)))
}

/** How long, and how much, a topic keeps by a policy. -1: the policy says nothing of it. */
export function retentionIn(definition: readonly Header[]): { ms: number; bytes: number } {
  const given = definition
    .filter(({ name }) => name === 'max-age' || name === 'max-length-bytes')
    .map(({ name, value }) => ({ name: `x-${name}`, value }))
  const settings = topicSettings(given)
  const valueOf = (name: string): number => Number(settings.get(name) ?? -1)
  return { ms: valueOf('retentionMs'), bytes: valueOf('retentionBytes') }
}

/** The exchange that gets what others route nowhere; undefined: the policy says nothing of it. */
export function alternateIn(definition: readonly Header[]): string | undefined {
  const value = definition.find(({ name }) => name === 'alternate-exchange')?.value
  return typeof value === 'string' ? value : undefined
}

/** Of these, the smallest of what is given applies; of all others, what was said closest to the queue. */
const bounds: ReadonlySet<string> = new Set([
  'message.ttl.ms',
  'expires.ms',
  'length.max',
  'bytes.max',
  'delivery.limit',
])

/** Whether the text is no bound at all. */
const isUnbounded = (name: string, text: string): boolean =>
  Number(text) < 0 || (name === 'delivery.limit' && Number(text) === 0)

/** Settings from what a queue was declared with, what a policy says and what an operator's does, in this order. */
export function mergedSettings(sources: readonly ReadonlyMap<string, string>[]): Map<string, string> {
  const merged = new Map<string, string>()
  for (const source of sources) {
    for (const [name, text] of source) {
      const present = merged.get(name)
      const isBetter =
        present === undefined ||
        (bounds.has(name) && !isUnbounded(name, text) && (isUnbounded(name, present) || Number(text) < Number(present)))
      if (isBetter) merged.set(name, text)
    }
  }
  return merged
}

/** What a policy and an operator's say together, as they would say it: the smaller of two bounds, and else the first. */
export function mergedDefinitions(definitions: readonly (readonly Header[])[]): Header[] {
  const merged = new Map<string, HeaderValue>()
  for (const { name, value } of definitions.flat()) {
    const present = merged.get(name)
    const isLess = typeof value === 'bigint' && typeof present === 'bigint' && value < present
    if (present === undefined || (rows[name]?.isOperators === true && isLess)) merged.set(name, value)
  }
  return Array.from(merged, ([name, value]) => ({ name, value }))
}
