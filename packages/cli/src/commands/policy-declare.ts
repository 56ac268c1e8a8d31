import { choice, count, text } from '@dragoman/broker/options'
import { defineCommand, option, required, UsageError } from '../command.ts'
import { argumentOptions, argumentsOf, Management, managementOptions } from '../management.ts'
import { policyKindOption, policyPath } from '../policies.ts'
import { print } from '../table.ts'

const targets = choice('all', 'queues', 'classic_queues', 'quorum_queues', 'streams', 'exchanges')

export const policyDeclare = defineCommand({
  name: 'policy declare',
  summary: 'Set something for all queues and exchanges whose names match, also for those that are there.',
  words: [{ name: 'POLICY', help: 'Name of the policy; one that is there is replaced.' }],
  options: {
    ...managementOptions,
    ...policyKindOption,
    pattern: required(text('PATTERN', 'a regular expression'), 'Names that it is for.'),
    applyTo: option(targets, 'queues', 'What it is for.'),
    priority: option(
      count(0, 1_000_000, 'NUMBER'),
      0,
      'Of several that match, the one of the highest priority counts.',
    ),
    ...argumentOptions,
  },
  examples: [
    ['dragoman policy declare brief --pattern "^log\\." --argument message-ttl=60000', 'Messages live for a minute.'],
    [
      'dragoman policy declare dlx --pattern "^work" --argument dead-letter-exchange=dead',
      'Dead letters have a place.',
    ],
  ],
  notes: 'Arguments of a queue itself come before those of policies. Of all policies that match, one is in force.',
  async run({ options, words: [name = ''] }) {
    if (options.argument.length === 0) throw new UsageError('A policy sets something: --argument NAME=VALUE')
    const management = await Management.open(options)
    await management.put(policyPath(options), [name], {
      pattern: options.pattern,
      'apply-to': options.applyTo,
      priority: options.priority,
      definition: argumentsOf(options.argument),
    })
    print(`${name} declared`)
    return undefined
  },
})
