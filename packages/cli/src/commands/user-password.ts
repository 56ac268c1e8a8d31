import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { CommandError, defineCommand } from '../command.ts'
import { print } from '../table.ts'
import { listUsers, newPasswordOptions, setPassword } from '../users.ts'

export const userPassword = defineCommand({
  name: 'user password',
  summary: 'Give a user another password.',
  words: [{ name: 'NAME', help: 'Name of the user.' }],
  options: { ...brokerOptions, ...newPasswordOptions },
  examples: [['dragoman user password ann --new-password-file ann.txt', 'Connections that are open stay open.']],
  async run({ options, words: [user = ''] }) {
    await withCluster(options, async cluster => {
      const [present] = await listUsers(cluster, [user])
      if (present === undefined) throw new CommandError(`There is no user "${user}"`)
      await setPassword(cluster, user, options)
      print(`${user}: password changed`)
    })
    return undefined
  },
})
