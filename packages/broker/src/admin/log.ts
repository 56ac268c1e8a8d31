import type { SessionContext } from '../protocols/protocol.ts'
import type { LogLevel } from '../options/table.ts'

export type Log = SessionContext['log']

export interface LogOptions {
  /** The least important level that is written. */
  level: LogLevel
  nowMs(): number
  write(line: string): void
}

const rank = { debug: 0, info: 1, warn: 2, error: 3, off: 4 } as const

/**
 * Lines of `time level component message key=value …`. A value with spaces, quotes or control characters is written as JSON, so
 * that one event is one line whatever a peer has sent.
 */
export function createLog({ level, nowMs, write }: LogOptions): (component: string) => Log {
  return component => (severity, message, fields) => {
    if (rank[severity] < rank[level]) return
    const time = new Date(nowMs()).toISOString()
    write(`${time} ${severity.padEnd(5)} ${component} ${message}${fields ? showFields(fields) : ''}\n`)
  }
}

function showFields(fields: Record<string, unknown>): string {
  let line = ''
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) line += ` ${key}=${showValue(value)}`
  return line
}

function showValue(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'boolean' || value === null) return String(value)
  if (isAddress(value))
    return value.host.includes(':') ? `[${value.host}]:${value.port}` : `${value.host}:${value.port}`
  if (value instanceof Error) return showValue(value.message)
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  // oxlint-disable-next-line no-control-regex -- control characters are what must not reach a terminal.
  return /^[^\s"=\u0000-\u001f\u007f-\u009f\u2028\u2029]+$/.test(text) ? text : JSON.stringify(text)
}

function isAddress(value: unknown): value is { host: string; port: number } {
  return (
    typeof value === 'object' && value !== null && 'host' in value && 'port' in value && typeof value.host === 'string'
  )
}
