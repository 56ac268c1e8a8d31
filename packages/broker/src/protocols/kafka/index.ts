import type { Codec } from '@dragoman/wire'
import type { Protocol } from '../protocol.ts'
import { explainFrames } from './explain.ts'
import { RequestDecoder, type RequestFrame } from './framing.ts'
import { groupBridge } from './group-bridge.ts'
import { apis, type Api } from './messages/index.ts'
import { KafkaSession } from './session.ts'

/** Apache Kafka's protocol, in the versions that `README.md` lists. */
export const kafka: Protocol<RequestFrame> = {
  name: 'kafka',
  title: 'Apache Kafka',
  ports: { plain: 9092, tls: 9093 },
  messages: Object.fromEntries(Object.values(apis).flatMap(messagesOf)),
  decoder: limits => new RequestDecoder(limits),
  session: (broker, outbox, context) => new KafkaSession(broker, outbox, context),
  groupBridge,
  explain: explainFrames,
}

function messagesOf({ name, request, response }: Api): [string, Codec<unknown>][] {
  return [
    [`${name}Request`, request],
    [`${name}Response`, response],
  ]
}
