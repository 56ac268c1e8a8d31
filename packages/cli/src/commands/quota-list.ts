import { apis } from '@dragoman/broker/kafka-messages'
import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster } from '../cluster.ts'
import { defineCommand, option } from '../command.ts'
import { check } from '../errors.ts'
import { showEntity, showLimit, wordOfKey } from '../quotas.ts'
import { formatTable, print, printJson } from '../table.ts'

export const quotaList = defineCommand({
  name: 'quota list',
  summary: 'List all quotas.',
  words: [],
  options: { ...brokerOptions, json: option(toggle, false, 'Print JSON.') },
  examples: [['dragoman quota list', 'Who is limited, and to what per second.']],
  async run({ options }) {
    const { json } = options
    const answer = await withCluster(options, cluster => cluster.request(apis.describeClientQuotas, { components: [] }))
    check(answer.errorCode, 'Cannot list quotas', answer.errorMessage)
    const entries = (answer.entries ?? [])
      .map(({ entity, values }) => ({ whom: showEntity(entity), values }))
      .sort((one, other) => (one.whom < other.whom ? -1 : 1))
    if (json) {
      const limits = (values: (typeof entries)[number]['values']) =>
        Object.fromEntries(values.map(({ key, value }) => [wordOfKey(key), value]))
      printJson(entries.map(({ whom, values }) => ({ for: whom, ...limits(values) })))
    } else if (entries.length > 0) {
      const rows = entries.map(({ whom, values }) => [whom, values.map(showLimit).sort().join(' ')])
      print(formatTable(['FOR', 'PER SECOND'], rows))
    }
    return undefined
  },
})
