import type { Protocol } from '../protocol.ts'
import { explainBytes } from './explain.ts'
import { FrameDecoder, type Packet } from './framing.ts'
import { messages } from './messages.ts'
import { StompSession } from './session.ts'

/** STOMP 1.0, 1.1 and 1.2. */
export const stomp: Protocol<Packet> = {
  name: 'stomp',
  title: 'STOMP',
  ports: { plain: 61613, tls: 61614 },
  messages,
  decoder: limits => new FrameDecoder(limits),
  session: (broker, outbox, context) => new StompSession(broker, outbox, context),
  webSocket: { subprotocols: ['v12.stomp', 'v11.stomp', 'v10.stomp'], frames: 'text', takesText: true },
  explain: explainBytes,
}
