import { choice } from '@dragoman/broker/options'
import { CommandError, option } from './command.ts'
import { anyText } from './settings.ts'
import { argumentOptions, argumentsOf, managementOptions, type Item, type Management } from './management.ts'

export const bindingWords = [
  { name: 'EXCHANGE', help: 'Where messages come from.' },
  { name: 'DESTINATION', help: 'Where they go: a queue, a topic, or an exchange.' },
]

export const bindingOptions = {
  ...managementOptions,
  to: option(choice('queue', 'exchange'), 'queue', 'What the destination is; a topic counts as a queue.'),
  key: option(anyText('KEY', 'a routing key, a pattern or a weight'), '', 'What the type of the exchange makes of it.'),
  ...argumentOptions,
}

export interface BindingCall {
  readonly to: 'queue' | 'exchange'
  readonly key: string
  readonly argument: readonly (readonly [string, string])[]
}

/** The parts of its path behind the namespace. */
export const bindingPath = (source: string, destination: string, to: BindingCall['to']): string[] => [
  'e',
  source,
  to === 'queue' ? 'q' : 'e',
  destination,
]

export const bindingBody = ({ key, argument }: BindingCall): Item => ({
  routing_key: key,
  arguments: argumentsOf(argument),
})

/** The binding that is meant, as the API names it. */
export async function findBinding(
  management: Management,
  source: string,
  destination: string,
  call: BindingCall,
): Promise<string> {
  const { routing_key: key, arguments: wanted } = bindingBody(call)
  const path = bindingPath(source, destination, call.to)
  const found = (await management.list('bindings', ...path)).filter(({ routing_key: of }) => of === key)
  const [first] = call.argument.length === 0 ? found : found.filter(({ arguments: of }) => isSame(of, wanted))
  if (!first) throw new CommandError(`No such binding from ${source} to ${destination}`)
  if (call.argument.length === 0 && found.length > 1)
    throw new CommandError(`${found.length} bindings have this key: name the arguments of one`)
  return String(first['properties_key'])
}

const isSame = (a: unknown, b: unknown): boolean => sorted(a) === sorted(b)

const sorted = (value: unknown): string =>
  JSON.stringify(Object.entries((value ?? {}) as Item).toSorted(([a], [b]) => (a < b ? -1 : 1)))
