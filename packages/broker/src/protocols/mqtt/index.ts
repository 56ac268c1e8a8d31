import type { Protocol } from '../protocol.ts'
import { explainBytes } from './explain.ts'
import { PacketDecoder, type Packet } from './framing.ts'
import { messages } from './messages.ts'
import { MqttSession } from './session.ts'

/** MQTT 3.1, 3.1.1 and 5.0. */
export const mqtt: Protocol<Packet> = {
  name: 'mqtt',
  title: 'MQTT',
  ports: { plain: 1883, tls: 8883 },
  messages,
  decoder: limits => new PacketDecoder(limits),
  session: (broker, outbox, context) => new MqttSession(broker, outbox, context),
  webSocket: { subprotocols: ['mqtt', 'mqttv3.1'], frames: 'binary', takesText: false },
  explain: explainBytes,
}
