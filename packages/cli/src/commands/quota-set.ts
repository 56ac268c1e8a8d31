import { apis } from '@dragoman/broker/kafka-messages'
import { withCluster } from '../cluster.ts'
import { defineCommand } from '../command.ts'
import { check } from '../errors.ts'
import { entityOf, entityOptions, limitOf, quotaNames, showEntity, showLimit } from '../quotas.ts'
import { print } from '../table.ts'

export const quotaSet = defineCommand({
  name: 'quota set',
  summary: 'Limit what a user, a client or an address may do per second.',
  words: [{ name: 'LIMIT', help: `${quotaNames.join('=, ')}= and a number; sizes take KiB, MiB, GiB.`, many: true }],
  options: entityOptions,
  examples: [
    ['dragoman quota set --for-user ann publish=1MiB fetch=10MiB', 'Bytes per second, of all clients of Ann together.'],
    ["dragoman quota set --for-client '*' work=50", "Half of the broker's thread for each client that has no quota."],
    ['dragoman quota set --for-address 10.0.0.7 connections=20', 'Twenty new connections per second.'],
  ],
  async run({ options, words }) {
    const entity = entityOf(options)
    const limits = words.map(limitOf)
    await withCluster(options, async cluster => {
      const ops = limits.map(limit => ({ ...limit, remove: false }))
      const { entries } = await cluster.request(apis.alterClientQuotas, { entries: [{ entity, ops }] })
      const whom = showEntity(entity)
      for (const { errorCode, errorMessage } of entries) check(errorCode, `Cannot limit ${whom}`, errorMessage)
      print(`${whom}: ${limits.map(showLimit).join(' ')}`)
    })
    return undefined
  },
})
