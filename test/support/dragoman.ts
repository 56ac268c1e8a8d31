import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { entries } from '@dragoman/broker/entries'
import { ServerProcess } from './server-process.ts'

export interface DragomanOptions {
  /** A directory, or `memory`. */
  data: string
  durability?: 'fsync' | 'os'
  /** The only listener. With `all` every one listens, each on any free port, and Kafka's is told. */
  protocol?: 'kafka' | 'amqp' | 'beanstalk' | 'stomp' | 'resp' | 'mqtt' | 'all'
  /** 0 takes any free port. */
  port?: number
  /** The command of a build; else that of the sources. */
  main?: string
  /** Where it listens; 127.0.0.1 when absent. What listens on `[::]` is found there, too. */
  host?: string
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

/** Runs `dragoman serve` as a process of its own, with one listener, Kafka's unless another is named or all are, and waits until it is ready. */
export async function startDragoman(options: DragomanOptions): Promise<Dragoman> {
  const { data, durability = 'fsync', host, port = 0, args = [], nodeArgs = [] } = options
  const isWhole = options.protocol === 'all'
  const protocol = isWhole ? 'kafka' : (options.protocol ?? 'kafka')
  const listeners = isWhole
    ? entries.flatMap(({ name }) => [`--${name}`, '0'])
    : ['--only', protocol, `--${protocol}`, host === undefined ? String(port) : `${host}:${port}`]
  const started = await ServerProcess.start({
    command: process.execPath,
    args: [
      ...nodeArgs,
      options.main ?? main,
      'serve',
      '--data',
      data,
      '--durability',
      durability,
      ...listeners,
      ...args,
    ],
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
