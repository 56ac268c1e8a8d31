import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { formatTable, print, printJson } from '../table.ts'
import { listUsers } from '../users.ts'

export const userList = defineCommand({
  name: 'user list',
  summary: 'List all users who can log in with a password.',
  words: [],
  options: { ...brokerOptions, json: option(toggle, false, 'Print JSON.') },
  examples: [['dragoman user list', 'Names, and the ways in which they can log in.']],
  async run({ options }) {
    const users = await withCluster(options, cluster => listUsers(cluster))
    users.sort((a, b) => (a.name < b.name ? -1 : 1))
    const rows = users.map(({ name, mechanisms }) => ({ user: name, mechanisms: mechanisms.map(one => one.name) }))
    if (options.json) printJson(rows)
    else if (rows.length > 0) {
      print(
        formatTable(
          ['USER', 'MECHANISMS'],
          rows.map(row => [row.user, row.mechanisms.join(', ')]),
        ),
      )
    }
    return undefined
  },
})
