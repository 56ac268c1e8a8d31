import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

export interface ServerCommand {
  command: string
  args: string[]
  cwd?: string
  env?: Record<string, string>
  /** True for the line of standard output that says the server takes connections. */
  isReady: (line: string) => boolean
  /** After this long without the ready line the process is killed and `start` rejects. */
  timeoutMs?: number
  /** Aborting kills the process while it starts. */
  signal?: AbortSignal
}

export interface Usage {
  cpuSeconds: number
  rssMb: number
  rssPeakMb: number
}

/** Lines of output that an error message shows, and that a server may say before its ready line. */
const linesKeptMax = 200

/** Clock ticks per second of `/proc/PID/stat`; Linux has used 100 on every architecture for user space. */
const ticksPerSecond = 100

/** A server of ours or a peer's as a process of its own: started until ready, measured, stopped or killed. */
export class ServerProcess {
  readonly child: ChildProcess
  readonly lines: string[] = []
  readonly errorLines: string[] = []
  readonly exited: Promise<number | null>
  /** From spawn to the ready line. */
  readyMs = Number.NaN

  private constructor(command: ServerCommand) {
    this.child = spawn(command.command, command.args, {
      cwd: command.cwd,
      env: { ...process.env, ...command.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.exited = once(this.child, 'exit').then(([code]) => code as number | null)
    this.exited.catch(() => undefined)
  }

  /** Rejects with the process's last lines when it exits or says nothing in time. */
  static async start(command: ServerCommand): Promise<ServerProcess> {
    const startedAt = performance.now()
    const server = new ServerProcess(command)
    await new Promise<void>((resolve, reject) => {
      const fail = (reason: string): void => {
        clearTimeout(timer)
        server.child.kill('SIGKILL')
        reject(new Error(`${command.command} ${reason}\n${server.tail()}`))
      }
      command.signal?.addEventListener('abort', () => fail('was killed'), { once: true })
      const timer = setTimeout(() => fail('was not ready in time'), command.timeoutMs ?? 60_000)
      server.#keepLines(line => {
        if (!command.isReady(line)) return
        clearTimeout(timer)
        server.readyMs = performance.now() - startedAt
        resolve()
      })
      server.exited.then(
        code => fail(`exited with ${code} before it was ready`),
        error => fail(`could not be started: ${String(error)}`),
      )
    })
    return server
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error('The process has not started')
    return this.child.pid
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  usage(): Usage {
    return usageOf(this.pid)
  }

  tail(): string {
    return [...this.lines.slice(-20), ...this.errorLines.slice(-20)].join('\n')
  }

  /** Asks it to stop, waits, and kills it when it has not gone in `graceMs`. Resolves with the exit code, null when killed. */
  async stop(graceMs = 20_000): Promise<number | null> {
    if (!this.running) return this.child.exitCode
    const timer = setTimeout(() => this.child.kill('SIGKILL'), graceMs)
    this.child.kill('SIGTERM')
    const code = await this.exited
    clearTimeout(timer)
    return code
  }

  async kill(): Promise<void> {
    if (!this.running) return
    this.child.kill('SIGKILL')
    await this.exited
  }

  #keepLines(line: (text: string) => void): void {
    const keep = (lines: string[], text: string): void => {
      lines.push(text)
      if (lines.length > linesKeptMax) lines.shift()
    }
    const { stdout, stderr } = this.child
    if (stdout !== null) {
      createInterface({ input: stdout }).on('line', text => {
        keep(this.lines, text)
        line(text)
      })
    }
    if (stderr !== null) createInterface({ input: stderr }).on('line', text => keep(this.errorLines, text))
  }
}

/** Reads what the kernel counts for a process: processor time of all of its threads, resident memory now and at most. */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const mb = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0) / 1024
  // Fields 14 and 15 of the whole line: 11 and 12 after the state, which is the first after the command's name.
  const ticks = Number(fields[11]) + Number(fields[12])
  return { cpuSeconds: ticks / ticksPerSecond, rssMb: mb('VmRSS'), rssPeakMb: mb('VmHWM') }
}
