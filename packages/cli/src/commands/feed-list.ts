import { defineCommand } from '../command.ts'
import { feedItem, feedPath } from '../feeds.ts'
import { printItems } from '../listing.ts'
import { jsonOption, Management, managementOptions } from '../management.ts'

export const feedList = defineCommand({
  name: 'feed list',
  summary: 'List the feeds of a namespace: which topics are published to exchanges, too.',
  words: [],
  options: { ...managementOptions, ...jsonOption },
  examples: [['dragoman feed list', 'Names, topics, and exchanges.']],
  async run({ options }) {
    const management = await Management.open(options)
    const feeds = await management.list(feedPath)
    printItems(feeds.map(feedItem), { FEED: 'name', TOPIC: 'topic', EXCHANGE: 'exchange' }, options.json)
    return undefined
  },
})
