import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { CaseName, Outcome, Report } from './suite.ts'

export interface Program {
  command: string
  args: string[]
  cwd?: string
  env?: Record<string, string>
  /** It is killed when it has run for this long. */
  timeoutMs?: number
}

const minute = 60_000

/**
 * Runs checks that are written in the client's own language: a program that prints one line of JSON for each, with its capability and its
 * outcome. A program that ends in another way than its last line is a failure of its own.
 */
export async function runProgram(program: Program, report: Report): Promise<void> {
  const { command, args, cwd, env, timeoutMs = 20 * minute } = program
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  const closed = new Promise<number | null>(resolve => child.on('close', resolve).on('error', () => resolve(-1)))
  const said: string[] = []
  createInterface({ input: child.stderr }).on('line', line => void said.push(line))
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) continue // Clients print things of their own.
    const { capability, outcome } = JSON.parse(line) as { capability: CaseName; outcome: Outcome }
    report(capability, outcome)
  }
  const code = await closed
  if (code !== 0)
    report('program: it ends by itself', { kind: 'failed', reason: `exit ${code}: ${said.slice(-5).join(' ')}` })
}

export interface Ended {
  code: number | null
  out: string
  error: string
}

/** Runs a program to its end, or kills it. */
export async function runToEnd({ command, args, cwd, env, timeoutMs = minute }: Program, input = ''): Promise<Ended> {
  const options = { cwd, env: { ...process.env, ...env }, timeout: timeoutMs, killSignal: 'SIGKILL' as const }
  const child = spawn(command, args, options)
  const text = { out: '', error: '' }
  child.stdout.on('data', (chunk: Buffer) => (text.out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text.error += chunk.toString()))
  child.stdin.on('error', () => undefined) // It may have ended before it read its input.
  child.stdin.end(input)
  const code = await new Promise<number | null>(resolve => child.on('close', resolve).on('error', () => resolve(-1)))
  return { code, ...text }
}
