import { protocols, type ProtocolEntry, type ProtocolName } from './protocols/index.ts'

/** Something that listens. */
export type ListenerEntry = Omit<ProtocolEntry, 'origin'>

/** What listens besides the protocols that carry messages: for who looks after the broker. */
export const services = [
  {
    name: 'http',
    title: 'HTTP',
    port: 8080,
    tlsPort: 8443,
    advertises: false,
    hasLogin: true,
    load: async () => (await import('./admin/services.ts')).http,
  },
  {
    name: 'management',
    title: 'RabbitMQ management',
    port: 15_672,
    tlsPort: 15_671,
    advertises: false,
    hasLogin: true,
    load: async () => (await import('./admin/services.ts')).management,
  },
] as const satisfies readonly ListenerEntry[]

/** All that listens: listener and options follow from its line. */
export const entries: readonly ListenerEntry[] = [...protocols, ...services]

export type ListenerName = ProtocolName | (typeof services)[number]['name']
