import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { repository } from '../../test/support/dragoman.ts'
import type { Bench } from './bench.ts'

export interface Published {
  /** The command. */
  readonly main: string
  /** The module that programs import as `@dragoman/broker`. */
  readonly broker: string
}

/** Builds what `npm install` would give. */
export function publish(bench: Bench): Published {
  const target = join(bench.root, 'published')
  const words = [join(repository, 'tools', 'build.ts'), target]
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`Cannot build what is published\n${stdout}${stderr}`)
  return { main: join(target, 'cli', 'src', 'dragoman.js'), broker: join(target, 'broker', 'src', 'index.js') }
}
