import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'

const main = join(import.meta.dirname, '../dragoman.js')

export interface Finished {
  code: number | null
  out: string
  err: string
}

export type Environment = Readonly<Record<string, string>>

/** Starts the command as a process of its own, with none of our own variables but these. */
export function start(
  args: readonly string[],
  environment: Environment = {},
): { child: ChildProcess; done: Promise<Finished> } {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('DRAGOMAN_'))
  const child = spawn(process.execPath, [main, ...args], { env: { ...Object.fromEntries(inherited), ...environment } })
  const finished: Finished = { code: null, out: '', err: '' }
  child.stdout.on('data', (chunk: Buffer) => (finished.out += String(chunk)))
  child.stderr.on('data', (chunk: Buffer) => (finished.err += String(chunk)))
  const done = new Promise<Finished>(resolve => child.on('close', code => resolve({ ...finished, code })))
  return { child, done }
}

export async function run(args: readonly string[], input = '', environment: Environment = {}): Promise<Finished> {
  const { child, done } = start(args, environment)
  child.stdin?.on('error', () => {}) // A command that was refused does not read it.
  child.stdin?.end(input)
  return done
}

/** Runs a command that must do what it is asked; resolves with what it printed. */
export async function succeed(args: readonly string[], input = '', environment: Environment = {}): Promise<string> {
  const { code, out, err } = await run(args, input, environment)
  assert.equal(code, 0, `dragoman ${args.join(' ')}: ${err}`)
  return out
}
