import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { CommandError, defineCommand } from '../command.ts'
import { print } from '../table.ts'
import { deleteUser, listUsers } from '../users.ts'

export const userDelete = defineCommand({
  name: 'user delete',
  summary: 'Remove users.',
  words: [{ name: 'NAME', help: 'Names of users.', many: true }],
  options: { ...brokerOptions },
  examples: [['dragoman user delete ann', 'From now on her connections may do nothing. Rules about her stay.']],
  async run({ options, words }) {
    await withCluster(options, async cluster => {
      const present = await listUsers(cluster, words)
      const missing = words.find(name => !present.some(user => user.name === name))
      if (missing !== undefined) throw new CommandError(`There is no user "${missing}"`)
      for (const user of present) {
        await deleteUser(cluster, user)
        print(`${user.name}: deleted`)
      }
    })
    return undefined
  },
})
