import type { Protocol } from '../protocol.ts'
import { explainBytes } from './explain.ts'
import { CommandDecoder, type Packet } from './framing.ts'
import { messages } from './messages.ts'
import { BeanstalkSession } from './session.ts'

/** The protocol of beanstalkd 1.13. */
export const beanstalk: Protocol<Packet> = {
  name: 'beanstalk',
  title: 'beanstalkd',
  ports: { plain: 11300, tls: 11301 },
  messages,
  decoder: limits => new CommandDecoder(limits),
  session: (broker, outbox, context) => new BeanstalkSession(broker, outbox, context),
  explain: explainBytes,
}
