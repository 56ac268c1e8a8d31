import { defineCommand } from '../command.ts'
import { Management, managementOptions } from '../management.ts'
import { policyKindOption, policyPath } from '../policies.ts'
import { print } from '../table.ts'

export const policyDelete = defineCommand({
  name: 'policy delete',
  summary: 'Delete policies; what they have set is as it was without them.',
  words: [{ name: 'POLICY', help: 'Name of the policy.', many: true }],
  options: { ...managementOptions, ...policyKindOption },
  examples: [['dragoman policy delete brief', 'Takes effect at once.']],
  async run({ options, words }) {
    const management = await Management.open(options)
    for (const name of words) {
      await management.remove(policyPath(options), [name])
      print(`${name} deleted`)
    }
    return undefined
  },
})
