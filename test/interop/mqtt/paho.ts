import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { cacheDirectory, fill, isThere } from '../fetched.ts'
import { runProgram } from '../program.ts'
import type { Client } from '../suite.ts'
import { versions } from '../versions.ts'

/** Debian installs its Python packages for this interpreter, whatever else is first on the path. */
const python = '/usr/bin/python3'
const env = { PYTHONDONTWRITEBYTECODE: '1', PYTHONWARNINGS: 'ignore' }

export const pahoPython: Client = {
  name: 'Paho Python (Debian)',
  pinned: versions.pahoPythonDebian,
  from: 'Debian 12',
  missing: () =>
    isThere(python, '-c', 'import paho.mqtt') ? undefined : 'not installed (apt install python3-paho-mqtt)',
  version: () =>
    spawnSync(python, ['-c', 'import paho.mqtt; print(paho.mqtt.__version__)'], { encoding: 'utf8' }).stdout.trim(),
  run({ address }, report) {
    const [, port = ''] = address.split(':')
    return runProgram({ command: python, args: [join(import.meta.dirname, 'paho_check.py'), port], env }, report)
  },
}

const directory = cacheDirectory(join('mqtt', `paho.mqtt.testing-${versions.pahoTesting.slice(0, 12)}`))
const address = 'https://github.com/eclipse/paho.mqtt.testing'

const suite = (name: string, module: string): Client => ({
  name,
  pinned: versions.pahoTesting.slice(0, 12),
  from: 'GitHub',
  // One of its tests wants to be told of a shorter time than it asks for.
  serve: ['--keep-alive-max-seconds', '60'],
  version: () => versions.pahoTesting.slice(0, 12),
  missing: () =>
    fill(directory, () => [
      { command: 'git', args: ['init', '--quiet'] },
      { command: 'git', args: ['fetch', '--quiet', '--depth', '1', address, versions.pahoTesting] },
      { command: 'git', args: ['checkout', '--quiet', 'FETCH_HEAD'] },
    ]),
  run({ address: place, only = '' }, report) {
    const [, port = ''] = place.split(':')
    const tests = only === '' ? [] : ['-k', only]
    const args = [
      join(import.meta.dirname, 'paho_suite.py'),
      join(directory, 'interoperability'),
      module,
      port,
      ...tests,
    ]
    return runProgram({ command: python, args, env }, report)
  },
})

export const pahoSuites: Client[] = [
  suite("Paho's interoperability tests, 3.1.1", 'client_test'),
  suite("Paho's interoperability tests, 5.0", 'client_test5'),
]
