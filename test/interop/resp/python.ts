import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { runProgram } from '../program.ts'
import type { Client } from '../suite.ts'
import { versions } from '../versions.ts'

/** Debian's own. */
const python = '/usr/bin/python3'

const installed = (): string =>
  spawnSync(python, ['-c', 'import redis; print(redis.__version__)'], { encoding: 'utf8' }).stdout.trim()

export const redisPython: Client = {
  name: 'redis-py',
  pinned: versions.redisPythonDebian,
  from: 'Debian',
  version: installed,
  missing: () => (installed() === '' ? 'no redis-py (apt install python3-redis)' : undefined),
  run: (place, report) =>
    runProgram({ command: python, args: [join(import.meta.dirname, 'redis_check.py'), place.address] }, report),
}
