import { defineCommand } from '../command.ts'
import { printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions, type Item } from '../management.ts'

export const dlqList = defineCommand({
  name: 'dlq list',
  summary: 'List the queues to which dead letters go, and where they come from.',
  words: [],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman dlq list', 'What has failed, at a glance.']],
  async run({ options }) {
    const management = await Management.open(options)
    const queues = await management.list('queues')
    const bindings = await management.list('bindings')
    const rows = deadLetterQueues(queues, bindings)
    printItems(rows, { QUEUE: 'queue', READY: 'ready', FROM: 'from' }, options.json)
    return undefined
  },
})

/** Queues that dead letters of others lead to: by the default exchange, or by any binding of the exchange that is named. */
export function deadLetterQueues(queues: readonly Item[], bindings: readonly Item[]): Item[] {
  const sources = new Map<string, string[]>()
  for (const queue of queues) {
    const exchange = settingOf(queue, 'dead-letter-exchange')
    if (exchange === undefined) continue
    const name = String(queue['name'])
    const targets =
      exchange === ''
        ? [settingOf(queue, 'dead-letter-routing-key') ?? name]
        : bindings
            .filter(({ source, destination_type: type }) => source === exchange && type === 'queue')
            .map(({ destination }) => String(destination))
    for (const target of new Set(targets)) sources.set(target, [...(sources.get(target) ?? []), name])
  }
  return queues
    .filter(({ name }) => sources.has(String(name)))
    .map(({ name, messages_ready: ready }) => ({ queue: name, ready, from: sources.get(String(name)) }))
}

/** What a queue was declared with, or else what its policies say. */
function settingOf({ arguments: given, effective_policy_definition: policy }: Item, name: string): string | undefined {
  const value = (given as Item | undefined)?.[`x-${name}`] ?? (policy as Item | undefined)?.[name]
  return typeof value === 'string' ? value : undefined
}
