import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ServerProcess } from './server-process.ts'

export interface DragomanOptions {
  /** A directory, or `memory`. */
  data: string
  durability?: 'fsync' | 'os'
  /** The only listener. */
  protocol?: 'kafka' | 'amqp' | 'beanstalk' | 'stomp' | 'resp' | 'mqtt'
  /** 0 takes any free port. */
  port?: number
  /** Further arguments of `dragoman serve`. */
  args?: string[]
  nodeArgs?: string[]
  timeoutMs?: number
  /** Aborting kills the process while it starts. */
  signal?: AbortSignal
}

export interface Dragoman {
  process: ServerProcess
  port: number
  /** `127.0.0.1:PORT`, as clients take it. */
  address: string
}

export const repository = join(import.meta.dirname, '..', '..')

const main = join(repository, 'packages', 'cli', 'src', 'dragoman.js')

/** True when the command is in this tree: tests that need the real process skip themselves without it. */
export const dragomanIsThere = existsSync(main)

/** Runs `dragoman serve` as a process of its own, with one listener, Kafka's unless another is named, and waits until it is ready. */
export async function startDragoman(options: DragomanOptions): Promise<Dragoman> {
  const { data, durability = 'fsync', protocol = 'kafka', port = 0, args = [], nodeArgs = [] } = options
  const serve = ['serve', '--data', data, '--durability', durability, '--only', protocol, `--${protocol}`, String(port)]
  const started = await ServerProcess.start({
    command: process.execPath,
    args: [...nodeArgs, main, ...serve, ...args],
    isReady: line => line.startsWith('ready'),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  })
  const listener = started.lines
    .map(line => new RegExp(`^${protocol}\\s+(\\S+):(\\d+)`).exec(line))
    .find(match => match !== null)
  if (listener?.[2] === undefined) {
    await started.kill()
    throw new Error(`The broker named no listener for ${protocol}:\n${started.tail()}`)
  }
  return { process: started, port: Number(listener[2]), address: `127.0.0.1:${listener[2]}` }
}
