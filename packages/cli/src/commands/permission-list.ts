import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { describeAcl, listAcls } from '../permissions.ts'
import { formatTable, print, printJson } from '../table.ts'

const columns = ['effect', 'user', 'host', 'operation', 'kind', 'name'] as const

export const permissionList = defineCommand({
  name: 'permission list',
  summary: 'List rules about who may do what.',
  words: [{ name: 'USER', help: 'Only rules about this user.', optional: true }],
  options: { ...brokerOptions, json: option(toggle, false, 'Print JSON.') },
  examples: [
    ['dragoman permission list', 'All rules. A name with … at its end stands for all that begin with it.'],
    ['dragoman permission list ann --json', 'Those about Ann.'],
  ],
  async run({ options, words: [user] }) {
    const acls = await withCluster(options, cluster => listAcls(cluster, user))
    const rows = acls.map(describeAcl)
    if (options.json) {
      printJson(rows.map(row => Object.fromEntries(columns.map((column, index) => [column, row[index]]))))
    } else if (rows.length > 0)
      print(
        formatTable(
          columns.map(column => column.toUpperCase()),
          rows,
        ),
      )
    return undefined
  },
})
