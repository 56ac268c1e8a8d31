import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { repository } from '../../test/support/dragoman.ts'

const sources = join(repository, 'bench', 'load')
const binaries = join(repository, '.cache', 'bin')

const libraries = {
  disk: [],
  'amqp-raw': [],
  'beanstalk-raw': [],
  'redis-raw': [],
  'resp-raw': [],
  'stomp-raw': [],
  'mqtt-raw': [],
  'redis-streams': [],
  'kafka-raw': [],
  'kafka-load': ['-lrdkafka'],
  'kafka-transactions': ['-lrdkafka'],
} satisfies Record<string, string[]>

export type Tool = keyof typeof libraries

/** What a load generator prints: numbers by name, and the last error's name. */
export type Report = Record<string, number> & { errorLast?: number | string }

/**
 * Compiles a load generator when its source is newer than its binary.
 * Returns what keeps it away: no compiler, no librdkafka; undefined when it is there.
 */
export function buildTool(tool: Tool): string | undefined {
  const source = join(sources, `${tool}.c`)
  const binary = toolPath(tool)
  const changed = Math.max(...[source, join(sources, 'raw.h')].map(file => statSync(file).mtimeMs))
  if (existsSync(binary) && statSync(binary).mtimeMs > changed) return undefined
  if (spawnSync('cc', ['--version']).status !== 0) return 'no C compiler (cc) on this machine'
  if (libraries[tool].length > 0) installLibrdkafka()
  mkdirSync(binaries, { recursive: true })
  const options = ['-O2', '-Wall', '-Wextra', '-pthread', '-o', binary, source, ...libraries[tool]]
  const compiled = spawnSync('cc', options, { encoding: 'utf8' })
  return compiled.status === 0 ? undefined : `${tool}.c does not compile: ${compiled.stderr.split('\n')[0]}`
}

export function toolPath(tool: Tool): string {
  return join(binaries, tool)
}

/** Runs a load generator to its end. Rejects when it fails for another reason than refused records. */
export async function runTool(tool: Tool, ...words: (string | number)[]): Promise<Report> {
  const missing = buildTool(tool)
  if (missing !== undefined) throw new Error(missing)
  const child = spawn(toolPath(tool), words.map(String), { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { out: '', error: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.error += chunk.toString()))
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('close', resolve).on('error', reject)
  })
  if (output.out === '') throw new Error(`${tool} ${words.join(' ')} ended with ${code}: ${output.error}`)
  return JSON.parse(output.out) as Report
}

export interface Held {
  /** The line that it has printed when it was ready. */
  first: Report
  /** Ends its input, which it waits for, and resolves with its last line. */
  end(): Promise<Report>
}

/** Starts a load generator that prints a line when it is ready, and another one when its input has ended. */
export async function holdTool(tool: Tool, ...words: (string | number)[]): Promise<Held> {
  const missing = buildTool(tool)
  if (missing !== undefined) throw new Error(missing)
  const child = spawn(toolPath(tool), words.map(String), { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<Report> => {
    const line = await lines.next()
    if (line.done === true) throw new Error(`${tool} ${words.join(' ')} ended too early`)
    return JSON.parse(line.value) as Report
  }
  return {
    first: await next(),
    end: () => {
      child.stdin.end()
      return next()
    },
  }
}

/** On Debian as root the headers are one command away; elsewhere the compiler says what is missing. */
function installLibrdkafka(): void {
  if (existsSync('/usr/include/librdkafka/rdkafka.h') || process.getuid?.() !== 0) return
  spawnSync('apt-get', ['install', '-y', '-q', 'librdkafka-dev'], { stdio: 'ignore' })
}
