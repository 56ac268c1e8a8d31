import { defineCommand } from '../command.ts'
import { feedPath } from '../feeds.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const feedDelete = defineCommand({
  name: 'feed delete',
  summary: 'Delete feeds; what they have published stays.',
  words: [{ name: 'FEED', help: 'Name of the feed.', many: true }],
  options: managementOptions,
  examples: [['dragoman feed delete commands', 'Records of the topic go nowhere else any more.']],
  async run({ options, words }) {
    const management = await Management.open(options)
    for (const name of words) {
      await management.remove(feedPath, [name])
      print(`${name} deleted`)
    }
    return undefined
  },
})
