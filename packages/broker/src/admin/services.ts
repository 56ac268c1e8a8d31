import type { Broker } from '../core/broker.ts'
import type { Protocol, SessionContext } from '../protocols/protocol.ts'
import { RequestDecoder, type Packet } from './http/framing.ts'
import { explainBytes } from './http/explain.ts'
import { HttpSession } from './http/session.ts'
import { ManagementSite } from './management/site.ts'
import { State } from './management/state.ts'

/** One for each broker, whichever of its listeners is asked. */
const sites = new WeakMap<Broker, ManagementSite>()

function siteOf(broker: Broker, { clock }: SessionContext): ManagementSite {
  let site = sites.get(broker)
  if (!site) sites.set(broker, (site = new ManagementSite(broker, new State(clock.monotonicMs()))))
  return site
}

const served = {
  messages: {},
  decoder: limits => new RequestDecoder(limits),
  session: (broker, outbox, context) => new HttpSession(siteOf(broker, context), outbox, context),
  explain: explainBytes,
} as const satisfies Partial<Protocol<Packet>>

/** Health, metrics and the management API, where everything that speaks HTTP is. */
export const http: Protocol<Packet> = {
  ...served,
  name: 'http',
  title: 'HTTP',
  ports: { plain: 8080, tls: 8443 },
}

/** The same once more, where tools for RabbitMQ look for it. */
export const management: Protocol<Packet> = {
  ...served,
  name: 'management',
  title: 'RabbitMQ management API',
  ports: { plain: 15_672, tls: 15_671 },
}
