import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { repository } from '../support/dragoman.ts'

/** A program that prepares what a client needs. */
export interface Step {
  command: string
  args: string[]
  cwd?: string
  env?: Record<string, string>
}

const minute = 60_000
const stepMsMax = 10 * minute

/** Where something that was fetched once is kept: outside of what is committed. */
export function cacheDirectory(name: string): string {
  return join(repository, '.cache', 'interop', name)
}

/**
 * Runs steps that fill a directory of the cache, unless they once all succeeded there, or somebody has filled it.
 * Returns why it cannot be filled, or undefined.
 */
export function fill(directory: string, steps: (directory: string) => Step[]): string | undefined {
  const whole = join(directory, '.whole')
  if (existsSync(whole)) return undefined
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  for (const step of steps(directory)) {
    const failure = failureOf(step, directory)
    if (failure !== undefined) return `${failure} (${relative(repository, directory)} can be filled by hand)`
  }
  writeFileSync(whole, '')
  return undefined
}

/** The sources of a project at one of its tags, as steps of `fill`. */
export function clone(project: string, tag: string): Step {
  const args = ['clone', '--quiet', '--depth', '1', '--branch', tag, `https://github.com/${project}`, '.']
  return { command: 'git', args }
}

function failureOf({ command, args, cwd, env }: Step, directory: string): string | undefined {
  const ended = spawnSync('nice', ['-n', '19', command, ...args], {
    cwd: cwd ?? directory,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: stepMsMax,
    maxBuffer: 2 ** 28,
  })
  if (ended.status === 0) return undefined
  const lines = `${ended.stdout}\n${ended.stderr}`.split('\n').filter(line => line.trim() !== '')
  const said = lines.findLast(line => /error|cannot|no such|not found/i.test(line)) ?? lines.at(-1)
  return `\`${command} ${args[0] ?? ''}\` failed: ${said ?? ended.error?.message ?? 'it says nothing'}`
}

/** True when the command can be run here. */
export function isThere(command: string, ...args: string[]): boolean {
  return spawnSync(command, args).status === 0
}

/** The directory of the Node that runs this, which `npm` and its native builds are to use. */
export function nodeFirst(): Record<string, string> {
  return { PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}` }
}
