import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cacheDirectory, clone, fill, isThere } from '../fetched.ts'
import { runProgram } from '../program.ts'
import type { Client } from '../suite.ts'
import { versions } from '../versions.ts'
import { likeRabbitmq, missingRedirect, redirected } from './redirect.ts'

/** Debian installs its Python packages for this interpreter, whatever else is first on the path. */
const python = '/usr/bin/python3'
const env = { PYTHONDONTWRITEBYTECODE: '1', PYTHONWARNINGS: 'ignore' }
const minute = 60_000

const pikaDirectory = cacheDirectory(join('amqp', `pika-${versions.pikaDebian}`))

export const pikaTests: Client = {
  name: 'pika (Debian), its acceptance tests',
  pinned: versions.pikaDebian,
  from: 'Debian 12; its tests from GitHub',
  serve: likeRabbitmq,
  version: () => versionOf('pika'),
  missing() {
    if (!isThere(python, '-c', 'import pika')) return 'not installed (apt install python3-pika)'
    return missingRedirect() ?? fillPika()
  },
  run(place, report) {
    const args = [join(import.meta.dirname, 'pika_tests.py'), place.only ?? '']
    return runProgram({ command: python, args, cwd: pikaDirectory, env: { ...env, ...redirected(place) } }, report)
  },
}

/** The tests alone: the library is what Debian has. */
function fillPika(): string | undefined {
  return fill(pikaDirectory, () => [clone('pika/pika', versions.pikaDebian), { command: 'rm', args: ['-r', 'pika'] }])
}

export const celery: Client = {
  name: 'Celery (Debian)',
  pinned: versions.celeryDebian,
  from: 'Debian 12',
  serve: likeRabbitmq,
  version: () => versionOf('celery'),
  missing: () => (isThere(python, '-c', 'import celery') ? undefined : 'not installed (apt install python3-celery)'),
  async run(place, report) {
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-celery-'))
    const args = [join(import.meta.dirname, 'celery_check.py'), place.address, directory]
    try {
      await runProgram({ command: python, args, env, timeoutMs: 5 * minute }, report)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  },
}

function versionOf(name: string): string {
  return spawnSync(python, ['-c', `import ${name}; print(${name}.__version__)`], { encoding: 'utf8' }).stdout.trim()
}
