import { verifyData, type Finding } from '@dragoman/broker/verify'
import { toggle } from '@dragoman/broker/options'
import { defineCommand, option } from '../command.ts'
import { exitCodes } from '../exit-codes.ts'
import { print, printJson } from '../table.ts'

export const verify = defineCommand({
  name: 'verify',
  summary: 'Check every byte of a data directory that no broker is using.',
  words: [{ name: 'DIR', help: 'The data directory.' }],
  options: { json: option(toggle, false, 'Print JSON.') },
  examples: [
    ['dragoman verify ./dragoman-data', 'Says what is damaged, where, and what can be done. Changes nothing.'],
  ],
  notes: 'Exit code 0: all is well. 4: there is damage.',
  async run({ options: { json }, words: [path = ''] }) {
    const report = await verifyData(path)
    const damaged = report.findings.some(({ level }) => level === 'damage')
    if (json) printJson(report)
    else {
      for (const finding of report.findings) print(`${show(finding)}\n`)
      const { blocks, checkpoints, segments, batches, records, bytes } = report
      print(
        `${blocks} journal blocks, ${checkpoints} checkpoints, ${segments} segments with ${batches} batches, ${records} records; ${bytes} bytes`,
      )
      print(damaged ? `${path} is damaged` : `${path} is sound`)
    }
    return damaged ? exitCodes.damaged : exitCodes.done
  },
})

const show = ({ level, where, what, advice }: Finding): string =>
  `${level === 'damage' ? 'DAMAGE' : 'note'}  ${where}\n  ${what}\n  ${advice}`
