import { defineCommand } from '../command.ts'
import { printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions } from '../management.ts'
import { policyColumns, policyKindOption, policyPath } from '../policies.ts'

export const policyList = defineCommand({
  name: 'policy list',
  summary: 'List the policies of a namespace.',
  words: [],
  options: { ...managementOptions, ...policyKindOption, ...jsonOption },
  examples: [['dragoman policy list', 'Names, patterns, and what they set.']],
  async run({ options }) {
    const management = await Management.open(options)
    printItems(await management.list(policyPath(options)), policyColumns, options.json)
    return undefined
  },
})
