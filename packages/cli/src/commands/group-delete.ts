import { apis } from '@dragoman/broker/kafka-messages'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand } from '../command.ts'
import { check } from '../errors.ts'
import { print } from '../table.ts'

export const groupDelete = defineCommand({
  name: 'group delete',
  summary: 'Delete groups and the offsets that they have committed.',
  words: [{ name: 'GROUP', help: 'Name of a group without members.', many: true }],
  options: { ...brokerOptions },
  examples: [['dragoman group delete billing', 'A consumer that joins later begins as a new group does.']],
  async run({ options, words }) {
    await withCluster(options, async cluster => {
      const { results } = await cluster.request(apis.deleteGroups, { groupsNames: [...words] })
      for (const { groupId, errorCode } of results) {
        check(errorCode, `Cannot delete group "${groupId}"`)
        print(`${groupId} deleted`)
      }
    })
    return undefined
  },
})
