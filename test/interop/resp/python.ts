import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { runProgram } from '../program.ts'
import type { Client } from '../suite.ts'
import { versions } from '../versions.ts'

const installed = (): string =>
  spawnSync('python3', ['-c', 'import redis; print(redis.__version__)'], { encoding: 'utf8' }).stdout.trim()

export const redisPython: Client = {
  name: 'redis-py',
  pinned: versions.redisPythonDebian,
  from: 'Debian',
  version: installed,
  missing: () => (installed() === '' ? 'no redis-py (apt install python3-redis)' : undefined),
  run: (place, report) =>
    runProgram({ command: 'python3', args: [join(import.meta.dirname, 'redis_check.py'), place.address] }, report),
}
