import type { Kind } from './option.ts'

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Where a listener is to be: `off`, or an address whose port may be 0 (any free one). */
export type ListenAt = HostPort | 'off'

export const loopback = '127.0.0.1'

/** `[HOST:]PORT|off`; an IPv6 host is written in brackets. */
export const listenAt: Kind<ListenAt> = {
  placeholder: '[HOST:]PORT|off',
  takes: 'a port from 0 to 65535, HOST:PORT, or off',
  parse: value => (value === 'off' ? 'off' : parseHostPort(value, loopback, 0)),
  show: value => (value === 'off' ? value : showHostPort(value)),
}

/** `HOST:PORT`; undefined when not given. */
export const hostPort: Kind<HostPort | undefined> = {
  placeholder: 'HOST:PORT',
  takes: 'HOST:PORT with a port from 1 to 65535',
  parse: value => parseHostPort(value, undefined, 1),
  show: value => (value ? showHostPort(value) : ''),
}

export const showHostPort = ({ host, port }: HostPort): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** All of 127/8, ::1 and the name: what only this machine can reach. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host)

export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

function parseHostPort(value: string, hostDefault: string | undefined, portMin: number): HostPort | undefined {
  const match = /^(?:(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:[\]/]+)):)?(\d{1,5})$/.exec(value)
  if (!match) return undefined
  const host = match[1] ?? match[2] ?? hostDefault
  const port = Number(match[3])
  return host === undefined || port < portMin || port > 65_535 ? undefined : { host, port }
}
