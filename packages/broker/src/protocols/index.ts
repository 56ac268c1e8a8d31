import type { Origin } from '../core/origins.ts'
import type { Protocol } from './protocol.ts'

/**
 * Every protocol, one line each. Listener, options, completion, `decode` and documentation follow from the line; the folder is
 * loaded only when its listener is on.
 */
export const protocols = [
  {
    name: 'kafka',
    title: 'Apache Kafka',
    port: 9092,
    tlsPort: 9093,
    advertises: true,
    hasLogin: true,
    load: async () => (await import('./kafka/index.ts')).kafka,
    origin: async () => (await import('./kafka/mapping.ts')).origin,
  },
  {
    name: 'amqp',
    title: 'AMQP 0-9-1',
    port: 5672,
    tlsPort: 5671,
    advertises: false,
    hasLogin: true,
    load: async () => (await import('./amqp/index.ts')).amqp,
    origin: async () => (await import('./amqp/mapping.ts')).origin,
  },
  {
    name: 'beanstalk',
    title: 'beanstalkd',
    port: 11300,
    tlsPort: 11301,
    advertises: false,
    hasLogin: false,
    load: async () => (await import('./beanstalk/index.ts')).beanstalk,
    origin: async () => (await import('./beanstalk/mapping.ts')).origin,
  },
  {
    name: 'stomp',
    title: 'STOMP',
    port: 61613,
    tlsPort: 61614,
    advertises: false,
    hasLogin: true,
    load: async () => (await import('./stomp/index.ts')).stomp,
    origin: async () => (await import('./stomp/mapping.ts')).origin,
  },
  {
    name: 'resp',
    title: 'Redis',
    port: 6379,
    tlsPort: 6380,
    advertises: false,
    hasLogin: true,
    load: async () => (await import('./resp/index.ts')).resp,
    origin: async () => (await import('./resp/mapping.ts')).origin,
  },
  {
    name: 'mqtt',
    title: 'MQTT',
    port: 1883,
    tlsPort: 8883,
    advertises: false,
    hasLogin: true,
    load: async () => (await import('./mqtt/index.ts')).mqtt,
    origin: async () => (await import('./mqtt/mapping.ts')).origin,
  },
] as const satisfies readonly ProtocolEntry[]

export type ProtocolName = (typeof protocols)[number]['name']

export interface ProtocolEntry {
  readonly name: string
  readonly title: string
  /** The standard port. */
  readonly port: number
  /** The standard port with TLS. */
  readonly tlsPort: number
  /** Its clients are told an address to come back to. */
  readonly advertises: boolean
  /** Its clients can say who they are. */
  readonly hasLogin: boolean
  load(): Promise<Protocol>
  /** How others read what it has stored. Loaded also when its listener is off. */
  origin(): Promise<Origin>
}
