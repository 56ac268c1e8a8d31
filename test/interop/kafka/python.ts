import { spawn, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Capability, Client, Outcome } from '../suite.ts'

/** Debian installs its Python packages for this interpreter, whatever else is first on the path. */
const python = '/usr/bin/python3'

export const confluentClient = pythonClient({
  name: 'confluent-kafka-python',
  pinned: '1.7.0, librdkafka 2.0.2',
  script: 'confluent.py',
  version: 'import confluent_kafka as c; print(c.version()[0] + ", librdkafka " + c.libversion()[0])',
  install: 'apt install python3-confluent-kafka',
})

export const kafkaPythonClient = pythonClient({
  name: 'kafka-python',
  pinned: '2.0.2',
  script: 'kafka_python.py',
  version: 'import kafka; print(kafka.__version__)',
  install: 'apt install python3-kafka',
})

interface PythonClient {
  name: string
  pinned: string
  script: string
  /** Python that prints the version. */
  version: string
  install: string
}

function pythonClient({ name, pinned, script, version, install }: PythonClient): Client {
  const found = () => spawnSync(python, ['-c', version], { encoding: 'utf8' })
  return {
    name,
    pinned,
    version: () => found().stdout.trim(),
    missing: () => (found().status === 0 ? undefined : `not installed (${install})`),
    async run(address: string, report: (capability: Capability, outcome: Outcome) => void): Promise<void> {
      const options = { cwd: import.meta.dirname, env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' } }
      const child = spawn(python, [join(import.meta.dirname, script), address], {
        ...options,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      for await (const line of createInterface({ input: child.stdout })) {
        const { capability, outcome } = JSON.parse(line) as { capability: Capability; outcome: Outcome }
        report(capability, outcome)
      }
    },
  }
}
