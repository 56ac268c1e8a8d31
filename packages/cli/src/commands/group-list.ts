import { apis } from '@dragoman/broker/kafka-messages'
import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { check } from '../errors.ts'
import { formatTable, print, printJson } from '../table.ts'

export const groupList = defineCommand({
  name: 'group list',
  summary: 'List all groups.',
  words: [],
  options: { ...brokerOptions, json: option(toggle, false, 'Print JSON.') },
  examples: [
    [
      'dragoman group list',
      'Names, states and kinds: `consumer` where the broker assigns, `classic` where the members do.',
    ],
  ],
  async run({ options }) {
    const { json } = options
    const answer = await withCluster(options, cluster => cluster.request(apis.listGroups, {}))
    check(answer.errorCode, 'Cannot list the groups')
    const groups = answer.groups
      .map(({ groupId, groupState, protocolType, groupType }) => ({
        group: groupId,
        state: groupState,
        type: protocolType,
        kind: groupType,
      }))
      .sort((a, b) => (a.group < b.group ? -1 : 1))
    if (json) printJson(groups)
    else if (groups.length > 0)
      print(
        formatTable(
          ['GROUP', 'STATE', 'TYPE', 'KIND'],
          groups.map(({ group, state, type, kind }) => [group, state, type, kind]),
        ),
      )
    return undefined
  },
})
