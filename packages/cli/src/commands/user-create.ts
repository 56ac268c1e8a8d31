import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { CommandError, defineCommand } from '../command.ts'
import { print } from '../table.ts'
import { listUsers, newPasswordOptions, setPassword } from '../users.ts'

export const userCreate = defineCommand({
  name: 'user create',
  summary: 'Make a user who can log in with a password.',
  words: [{ name: 'NAME', help: 'Name of the user.' }],
  options: { ...brokerOptions, ...newPasswordOptions },
  examples: [
    ['dragoman user create ann --new-password-file ann.txt', 'The password is the first line of the file.'],
    ['pass ann | dragoman user create ann --new-password-file -', 'The password comes from another program.'],
  ],
  notes: `The first user of a broker may do everything, unless its option --super-users names others. Further users may do nothing
until "dragoman permission grant" lets them.`,
  async run({ options, words: [user = ''] }) {
    await withCluster(options, async cluster => {
      const [present] = await listUsers(cluster, [user])
      if (present !== undefined) {
        throw new CommandError(`User "${user}" is there already; "dragoman user password ${user}" changes the password`)
      }
      await setPassword(cluster, user, options)
      print(`${user}: created`)
    })
    return undefined
  },
})
