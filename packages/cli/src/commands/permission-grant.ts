import { apis } from '@dragoman/broker/kafka-messages'
import { withCluster } from '../cluster.ts'
import { defineCommand } from '../command.ts'
import { check } from '../errors.ts'
import { describeAcl, operationWords, ruleOptions, rulesOf } from '../permissions.ts'
import { print } from '../table.ts'

export const permissionGrant = defineCommand({
  name: 'permission grant',
  summary: 'Let a user do something, or forbid it.',
  words: [
    { name: 'USER', help: 'Name of a user; * for everybody.' },
    { name: 'OPERATION', help: `What: ${operationWords.join(', ')}.`, many: true, choices: operationWords },
  ],
  options: ruleOptions,
  examples: [
    ['dragoman permission grant ann produce --topic orders', 'Ann may publish to a topic, and create it.'],
    ['dragoman permission grant bob consume --topic orders --group billing', 'Bob may consume with this group.'],
    ['dragoman permission grant eve read --topic logs- --prefix', 'All topics whose names begin so.'],
    ["dragoman permission grant '*' read --topic secret --effect deny", 'Nobody but super users may read it.'],
    [
      "dragoman permission grant ops all --cluster --topic '*' --group '*' --transactional-id '*'",
      'Whoever runs the broker.',
    ],
  ],
  async run({ options, words: [user = '', ...operations] }) {
    const creations = rulesOf(user, operations, options)
    await withCluster(options, async cluster => {
      const { results } = await cluster.request(apis.createAcls, { creations })
      for (const { errorCode, errorMessage } of results) check(errorCode, 'Cannot add a rule', errorMessage)
      for (const acl of creations) print(describeAcl(acl).join(' '))
    })
    return undefined
  },
})
