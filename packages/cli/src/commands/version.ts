import { defineCommand } from '../command.ts'
import { packageVersion } from '../package-version.ts'

export const version = defineCommand({
  name: 'version',
  summary: 'Print the version.',
  words: [],
  options: {},
  examples: [['dragoman version', 'Prints the version of this release.']],
  async run() {
    process.stdout.write(`dragoman ${packageVersion} (node ${process.version})\n`)
    return undefined
  },
})
