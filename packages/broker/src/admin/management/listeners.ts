import type { Call } from './call.ts'
import { nodeName } from './state.ts'

export interface ListenerItem {
  readonly node: string
  readonly protocol: string
  readonly ip_address: string
  readonly port: number
  readonly socket_opts: object
  readonly tls: boolean
}

/** Protocols by the names that clients of this API have for them; the others have their own. */
const names: Readonly<Record<string, string>> = {
  'amqp-tls': 'amqp/ssl',
  'http-tls': 'https',
  management: 'http',
  'management-tls': 'https',
}

/** Where the broker listens. */
export function listenersOf({ core }: Pick<Call, 'core'>): ListenerItem[] {
  return Array.from(core.addresses, ([name, { host, port }]) => {
    const protocol = names[name] ?? name
    return {
      node: nodeName,
      protocol,
      ip_address: host,
      port,
      socket_opts: {},
      tls: name.endsWith('-tls'),
    }
  })
}
