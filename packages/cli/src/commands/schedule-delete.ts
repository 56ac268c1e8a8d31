import { defineCommand } from '../command.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const scheduleDelete = defineCommand({
  name: 'schedule delete',
  summary: 'Delete schedules.',
  words: [{ name: 'SCHEDULE', help: 'Name of the schedule.', many: true }],
  options: managementOptions,
  examples: [['dragoman schedule delete nightly', 'It publishes no more.']],
  async run({ options, words }) {
    const management = await Management.open(options)
    for (const name of words) {
      await management.remove('dragoman/schedules', [name])
      print(`${name} deleted`)
    }
    return undefined
  },
})
