import { join } from 'node:path'
import { cacheDirectory, fill, isThere } from '../fetched.ts'
import { runProgram } from '../program.ts'
import type { Client } from '../suite.ts'
import { versions } from '../versions.ts'

const environment = cacheDirectory(join('python', `greenstalk==${versions.greenstalk}`))

export const greenstalk: Client = {
  name: 'greenstalk',
  pinned: versions.greenstalk,
  from: 'pip',
  version: () => versions.greenstalk,
  missing() {
    if (!isThere('python3', '--version')) return 'no Python'
    const needed = ['--quiet', '--disable-pip-version-check', `greenstalk==${versions.greenstalk}`]
    return fill(environment, directory => [
      { command: 'python3', args: ['-m', 'venv', directory] },
      { command: join(directory, 'bin', 'pip'), args: ['install', ...needed] },
    ])
  },
  run(place, report) {
    const script = join(import.meta.dirname, 'greenstalk_check.py')
    return runProgram({ command: join(environment, 'bin', 'python3'), args: [script, place.address] }, report)
  },
}
