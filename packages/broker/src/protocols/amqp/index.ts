import type { Protocol } from '../protocol.ts'
import { explainFrames } from './explain.ts'
import { FrameDecoder, type Frame } from './framing.ts'
import { messages } from './messages/index.ts'
import { AmqpSession } from './session.ts'

/** AMQP 0-9-1 with the extensions of RabbitMQ. */
export const amqp: Protocol<Frame> = {
  name: 'amqp',
  title: 'AMQP 0-9-1',
  ports: { plain: 5672, tls: 5671 },
  messages,
  decoder: limits => new FrameDecoder(limits),
  session: (broker, outbox, context) => new AmqpSession(broker, outbox, context),
  explain: explainFrames,
}
