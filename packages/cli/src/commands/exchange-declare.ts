import { choice, text, toggle } from '@dragoman/broker/options'
import { defineCommand, option, optional } from '../command.ts'
import { argumentOptions, argumentsOf, Management, managementOptions } from '../management.ts'
import { anyText } from '../settings.ts'
import { print } from '../table.ts'

const types = choice('direct', 'fanout', 'topic', 'headers', 'x-consistent-hash', 'x-delayed-message')

export const exchangeDeclare = defineCommand({
  name: 'exchange declare',
  summary: 'Make an exchange, or see to it that there is one like this.',
  words: [{ name: 'EXCHANGE', help: 'Name of the exchange.' }],
  options: {
    ...managementOptions,
    type: option(types, 'direct', 'How it chooses among its bindings.'),
    transient: option(toggle, false, 'Gone after a restart.'),
    autoDelete: option(toggle, false, 'Gone with its last binding.'),
    internal: option(toggle, false, 'Only other exchanges may publish to it.'),
    alternate: optional(anyText('EXCHANGE', 'a name'), 'Gets what no binding matches.'),
    delayedType: optional(text('TYPE', 'a type'), 'How an exchange of the type x-delayed-message routes.'),
    ...argumentOptions,
  },
  examples: [
    ['dragoman exchange declare shop --type topic', 'A durable exchange.'],
    ['dragoman exchange declare later --type x-delayed-message --delayed-type direct', 'Messages may wait in it.'],
  ],
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    const { alternate, delayedType } = options
    await management.put('exchanges', [name], {
      type: options.type,
      durable: !options.transient,
      auto_delete: options.autoDelete,
      internal: options.internal,
      arguments: {
        ...(alternate === undefined ? {} : { 'alternate-exchange': alternate }),
        ...(delayedType === undefined ? {} : { 'x-delayed-type': delayedType }),
        ...argumentsOf(options.argument),
      },
    })
    print(`${name} declared`)
    return undefined
  },
})
