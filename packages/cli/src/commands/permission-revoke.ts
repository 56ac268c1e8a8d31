import { toggle } from '@dragoman/broker/options'
import { withCluster } from '../cluster.ts'
import { CommandError, defineCommand, option, UsageError } from '../command.ts'
import { describeAcl, listAcls, operationWords, removeAcls, ruleOptions, rulesOf } from '../permissions.ts'
import { print } from '../table.ts'

export const permissionRevoke = defineCommand({
  name: 'permission revoke',
  summary: 'Take back what was granted.',
  words: [
    { name: 'USER', help: 'Name of a user; * for the rules about everybody.' },
    { name: 'OPERATION', help: 'What; none with --all.', optional: true, many: true, choices: operationWords },
  ],
  options: { ...ruleOptions, all: option(toggle, false, 'All rules about this user.') },
  examples: [
    ['dragoman permission revoke ann produce --topic orders', 'As it was granted.'],
    ['dragoman permission revoke ann --all', 'Everything about Ann.'],
  ],
  async run({ options, words: [user = '', ...operations] }) {
    if (options.all === operations.length > 0) throw new UsageError('Give either operations or --all')
    await withCluster(options, async cluster => {
      const wanted = options.all ? await listAcls(cluster, user) : rulesOf(user, operations, options)
      const removed = wanted.length === 0 ? [] : await removeAcls(cluster, wanted)
      if (removed.length === 0) throw new CommandError(`There is no such rule about "${user}"`)
      for (const acl of removed) print(describeAcl(acl).join(' '))
    })
    return undefined
  },
})
