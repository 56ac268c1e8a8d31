import { choice, count, text } from '@dragoman/broker/options'
import { option, optional } from './command.ts'
import { Interruption } from './interruption.ts'
import { printItems } from './listing.ts'
import { jsonOption, Management, managementOptions, type Item, type ManagementTarget } from './management.ts'
import { countOfMessages, print, printJson } from './table.ts'

const pageMax = 1000
const shownChars = 60

export const filterOptions = {
  reason: optional(
    choice('rejected', 'expired', 'maxlen', 'delivery_limit'),
    'Only those that were dead-lettered last for this reason.',
  ),
  fromQueue: optional(text('QUEUE', 'a name'), 'Only those that were dead-lettered last from this queue.'),
  key: optional(text('KEY', 'a routing key'), 'Only those with this routing key.'),
}

export interface Filter {
  readonly reason: string | undefined
  readonly fromQueue: string | undefined
  readonly key: string | undefined
}

/** As the API writes it. */
export const filterFields = ({ reason, fromQueue, key }: Filter): Record<string, string> => ({
  ...(reason === undefined ? {} : { reason }),
  ...(fromQueue === undefined ? {} : { from_queue: fromQueue }),
  ...(key === undefined ? {} : { routing_key: key }),
})

export const browseOptions = {
  ...managementOptions,
  ...filterOptions,
  max: option(count(1, 1_000_000), 20, 'So many messages at the most.'),
  ...jsonOption,
}

export interface Browsing extends ManagementTarget, Filter {
  readonly max: number
  readonly json: boolean
}

/** Prints messages of a queue without taking them. */
export async function browse(queue: string, options: Browsing, hasDeaths: boolean): Promise<void> {
  const management = await Management.open(options)
  const found: Item[] = []
  for (let from: number | null = 0; from !== null && found.length < options.max;) {
    const max = Math.min(pageMax, options.max - found.length)
    const page = await browsePage(management, queue, { from: String(from), max: String(max), ...filterFields(options) })
    found.push(...page.messages)
    from = page.next
  }
  if (options.json) return printJson(found)
  if (found.length === 0) return print('No messages')
  const deaths = {
    'DEAD FROM': (item: Item) => lastDeath(item)?.['queue'],
    REASON: (item: Item) => lastDeath(item)?.['reason'],
    TIMES: (item: Item) => lastDeath(item)?.['count'],
  }
  const columns = {
    OFFSET: 'offset',
    STATE: ({ state, holder }: Item) => (typeof holder === 'string' ? `${String(state)} by ${holder}` : state),
    DELIVERIES: 'delivery_count',
    PUBLISHED: ({ timestamp_ms: at }: Item) => new Date(Number(at)).toISOString(),
    EXCHANGE: 'exchange',
    KEY: 'routing_key',
    ...(hasDeaths ? deaths : {}),
    BODY: bodyOf,
  }
  printItems(found, columns, false)
}

async function browsePage(
  management: Management,
  queue: string,
  query: Record<string, string>,
): Promise<{ messages: Item[]; next: number | null }> {
  const path = ['dragoman/queues', management.namespace, queue, 'messages']
  return (await management.ask('GET', path, undefined, query)) as { messages: Item[]; next: number | null }
}

function lastDeath({ deaths }: Item): Item | undefined {
  return Array.isArray(deaths) ? (deaths as Item[])[0] : undefined
}

/** The beginning of a body, on one line. */
export function bodyOf({ payload, payload_encoding: encoding, payload_bytes: bytes }: Item): string {
  if (typeof payload !== 'string' || encoding === 'base64') return `${String(bytes)} bytes`
  const line = JSON.stringify(payload).slice(1, -1)
  return line.length > shownChars ? `${line.slice(0, shownChars)}…` : line
}

const pollMs = 500

/** Moves messages of a queue and waits until that is over, or is interrupted. */
export async function moveMessages(
  queue: string,
  to: 'origins' | { readonly queue: string },
  options: ManagementTarget & Filter & { readonly max: number | undefined },
): Promise<void> {
  const management = await Management.open(options)
  const path = [management.namespace, queue, 'move']
  const { max } = options
  const interruption = new Interruption()
  let progress = (await management.ask('POST', ['dragoman/queues', ...path], {
    to,
    ...(max === undefined ? {} : { max }),
    ...filterFields(options),
  })) as Item
  while (progress['state'] === 'running' || progress['state'] === 'waiting') {
    await new Promise(resolve => setTimeout(resolve, pollMs))
    if (interruption.isThere) await management.ask('DELETE', ['dragoman/queues', ...path])
    progress = (await management.ask('GET', ['dragoman/queues', ...path])) as Item
  }
  const { state, moved, passed } = progress
  print(
    `${countOfMessages(Number(moved))} moved, ${String(passed)} passed over${state === 'done' ? '' : ` (${String(state)})`}`,
  )
}
