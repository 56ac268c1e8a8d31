import { apis } from '@dragoman/broker/kafka-messages'
import { withCluster } from '../cluster.ts'
import { defineCommand } from '../command.ts'
import { check } from '../errors.ts'
import { entityOf, entityOptions, quotaNames, quotaWords, showEntity } from '../quotas.ts'
import { print } from '../table.ts'

export const quotaRemove = defineCommand({
  name: 'quota remove',
  summary: 'Take away limits of a user, a client or an address.',
  words: [
    { name: 'WHAT', help: 'What is limited; without it, everything.', optional: true, many: true, choices: quotaNames },
  ],
  options: entityOptions,
  examples: [
    ['dragoman quota remove --for-user ann publish', 'Ann publishes as fast as she can.'],
    ["dragoman quota remove --for-client '*'", 'All that is set for clients without a quota of their own.'],
  ],
  async run({ options, words }) {
    const entity = entityOf(options)
    const names = quotaNames.filter(name => words.length === 0 || words.includes(name))
    await withCluster(options, async cluster => {
      const ops = names.map(name => ({ key: quotaWords[name].key, value: 0, remove: true }))
      const { entries } = await cluster.request(apis.alterClientQuotas, { entries: [{ entity, ops }] })
      const whom = showEntity(entity)
      for (const { errorCode, errorMessage } of entries) check(errorCode, `Cannot change ${whom}`, errorMessage)
      print(`${whom}: ${names.join(', ')} unlimited`)
    })
    return undefined
  },
})
