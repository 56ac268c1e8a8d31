import { spawn } from 'node:child_process'
import path from 'node:path'

/** The checks that run no code of ours but tidy: each is a program that is silent enough and exits with 0 when all is well. */
export const staticChecks = [
  { name: 'format', program: 'oxfmt', args: ['--check', '.'], hint: 'npm run format' },
  { name: 'types', program: 'tsc', args: ['-p', 'tsconfig.json', '--pretty', 'false'] },
  { name: 'lint', program: 'oxlint', args: ['--type-aware', '-f', 'unix', '.'] },
  { name: 'tidy', program: 'node', args: ['tools/tidy/main.ts'] },
  { name: 'docs', program: 'node', args: ['tools/docs/main.ts', '--check'], hint: 'npm run docs' },
  { name: 'dead code', program: 'knip', args: ['--no-progress', '--no-config-hints'] },
] as const satisfies readonly StaticCheck[]

export interface StaticCheck {
  name: string
  /** Found in `node_modules/.bin`. */
  program: string
  args: readonly string[]
  /** The command that repairs what was found. */
  hint?: string
}

export interface CheckResult {
  ok: boolean
  /** What the program printed, both streams. */
  output: string
  seconds: number
}

export const root = path.dirname(import.meta.dirname)

/** Runs one check; resolves whatever it found. */
export function runCheck(check: StaticCheck): Promise<CheckResult> {
  const started = performance.now()
  const bin = path.join(root, 'node_modules', '.bin')
  const environment = { ...process.env, PATH: `${bin}${path.delimiter}${process.env.PATH ?? ''}` }
  const child = spawn(check.program, check.args, { cwd: root, env: environment })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text))
  return new Promise(resolve => {
    const finish = (ok: boolean): void => resolve({ ok, output, seconds: (performance.now() - started) / 1000 })
    child.on('error', error => {
      output += error.message
      finish(false)
    })
    child.on('close', code => finish(code === 0))
  })
}
