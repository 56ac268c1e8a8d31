import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory, clone, fill, isThere } from '../fetched.ts'
import { runProgram } from '../program.ts'
import type { Client, Place } from '../suite.ts'
import { versions } from '../versions.ts'

/** Debian installs its Python packages for this interpreter, whatever else is first on the path. */
const python = '/usr/bin/python3'
const env = { PYTHONDONTWRITEBYTECODE: '1', PYTHONWARNINGS: 'ignore' }

const version = (): string =>
  spawnSync(python, ['-c', 'import stomp; print(".".join(map(str, stomp.__version__)))'], {
    encoding: 'utf8',
  }).stdout.trim()

const missing = (...modules: string[]): string | undefined =>
  isThere(python, '-c', `import ${['stomp', ...modules].join(', ')}`)
    ? undefined
    : 'not installed (apt install python3-stomp python3-pytest python3-pytest-mock)'

export const stompPy: Client = {
  name: 'stomp.py (Debian)',
  pinned: versions.stompPyDebian,
  from: 'Debian 12',
  version,
  missing: () => missing(),
  run(place, report) {
    const args = [join(import.meta.dirname, 'stomp_check.py'), place.address]
    return runProgram({ command: python, args, env }, report)
  },
}

const directory = cacheDirectory(join('stomp', `stomp.py-${versions.stompPyDebian}`))

export const stompPyTests: Client = {
  name: 'stomp.py (Debian), its own tests',
  pinned: versions.stompPyDebian,
  from: 'Debian 12; its tests from GitHub',
  version,
  missing() {
    const tag = `v${versions.stompPyDebian}`
    // The tests alone: the library is what Debian has.
    const steps = () => [clone('jasonrbriggs/stomp.py', tag), { command: 'rm', args: ['-r', 'stomp'] }]
    return missing('pytest', 'pytest_mock') ?? fill(directory, steps)
  },
  run(place, report) {
    configure(place)
    const args = [join(import.meta.dirname, 'stomp_tests.py'), place.only ?? '']
    return runProgram({ command: python, args, cwd: directory, env }, report)
  },
}

/** The tests read where the servers are from a file. */
function configure({ address }: Place): void {
  const [host = '', port = ''] = address.split(':')
  const place = `host = ${host}\nport = ${port}\nuser = guest\npassword = guest\n`
  const sections = ['default', 'rabbitmq', 'stompserver'].map(name => `[${name}]\n${place}`)
  writeFileSync(join(directory, 'tests', 'setup.ini'), sections.join('\n'))
}
