import { defineCommand } from '../command.ts'
import { Management, managementOptions } from '../management.ts'
import { print } from '../table.ts'

export const scheduleRun = defineCommand({
  name: 'schedule run',
  summary: 'Let a schedule publish its message now, out of turn.',
  words: [{ name: 'SCHEDULE', help: 'Name of the schedule.' }],
  options: managementOptions,
  examples: [['dragoman schedule run nightly', 'To see whether it works.']],
  async run({ options, words: [name = ''] }) {
    const management = await Management.open(options)
    await management.post('dragoman/schedules', [name, 'run'], {})
    print(`${name} published`)
    return undefined
  },
})
