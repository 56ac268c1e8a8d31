import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { cacheDirectory, fill, isThere } from '../fetched.ts'
import { runProgram } from '../program.ts'
import type { Client, Report } from '../suite.ts'
import { versions } from '../versions.ts'

/** Debian installs its Python packages for this interpreter, whatever else is first on the path. */
const systemPython = '/usr/bin/python3'

interface PythonClient {
  name: string
  pinned: string
  from: string
  /** File with the checks. */
  script: string
  /** Python that prints the version. */
  version: string
  /** The package with its version, for pip; without it, what the system has is used. */
  pip?: string
  apt?: string
}

const confluent = {
  script: 'confluent.py',
  version: 'import confluent_kafka as c; print(c.__version__ + ", librdkafka " + c.libversion()[0])',
}
const kafkaPython = { script: 'kafka_python.py', version: 'import kafka; print(kafka.__version__)' }

export const pythonClients: Client[] = [
  pythonClient({
    ...confluent,
    name: 'confluent-kafka-python',
    pinned: versions.confluentPython,
    from: 'pip',
    pip: `confluent-kafka==${versions.confluentPython.split(',')[0]}`,
  }),
  pythonClient({
    ...confluent,
    name: 'confluent-kafka-python (Debian)',
    pinned: versions.confluentPythonDebian,
    from: 'Debian 12',
    apt: 'python3-confluent-kafka',
  }),
  pythonClient({
    ...kafkaPython,
    name: 'kafka-python',
    pinned: versions.kafkaPython,
    from: 'pip',
    pip: `kafka-python==${versions.kafkaPython}`,
  }),
  pythonClient({
    ...kafkaPython,
    name: 'kafka-python (Debian)',
    pinned: versions.kafkaPythonDebian,
    from: 'Debian 12',
    apt: 'python3-kafka',
  }),
]

function pythonClient({ name, pinned, from, script, version, pip, apt }: PythonClient): Client {
  const environment = cacheDirectory(join('python', pip ?? ''))
  const python = pip === undefined ? systemPython : join(environment, 'bin', 'python3')
  const found = () => spawnSync(python, ['-c', version], { encoding: 'utf8' })
  return {
    name,
    pinned,
    from,
    wantsSecure: true,
    version: () => found().stdout.trim(),
    missing() {
      if (pip !== undefined) return isThere('python3', '--version') ? install(environment, pip) : 'no Python'
      return found().status === 0 ? undefined : `not installed (apt install ${apt})`
    },
    run(place, report: Report) {
      const args = [join(import.meta.dirname, script), place.address, JSON.stringify(place.secure ?? null)]
      const env = { PYTHONDONTWRITEBYTECODE: '1' }
      return runProgram({ command: python, args, cwd: import.meta.dirname, env }, report)
    },
  }
}

/** An environment of its own for one package. */
function install(environment: string, requirement: string): string | undefined {
  const needed = ['--quiet', '--disable-pip-version-check', requirement]
  return fill(environment, directory => [
    { command: 'python3', args: ['-m', 'venv', directory] },
    { command: join(directory, 'bin', 'pip'), args: ['install', ...needed] },
  ])
}
