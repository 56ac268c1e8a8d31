import type { Protocol } from '../protocol.ts'
import { explainBytes } from './explain.ts'
import { CommandDecoder, type Packet } from './framing.ts'
import { messages } from './messages.ts'
import { RespSession } from './session.ts'

/** The protocols of Redis: RESP2 and RESP3. */
export const resp: Protocol<Packet> = {
  name: 'resp',
  title: 'Redis',
  ports: { plain: 6379, tls: 6380 },
  messages,
  decoder: limits => new CommandDecoder(limits),
  session: (broker, outbox, context) => new RespSession(broker, outbox, context),
  explain: explainBytes,
}
