import type { Client } from '../suite.ts'
import { confluentJavascriptClient } from './confluent-javascript.ts'
import { differentialClient } from './differential/client.ts'
import { franzGoClient, kadmClient } from './franz-go.ts'
import { exactlyOnceClient } from './exactly-once.ts'
import { javaClient, streamsClient } from './java-client.ts'
import { javaToolsClient } from './java.ts'
import { kafkajsClient } from './kafkajs.ts'
import { kcatClient } from './kcat.ts'
import { librdkafkaClient } from './librdkafka.ts'
import { platformaticClient } from './platformatic.ts'
import { pythonClients } from './python.ts'

/** Each client of another that speaks this protocol, and that the suite runs. */
export const kafkaClients: Client[] = [
  kafkajsClient,
  platformaticClient,
  confluentJavascriptClient,
  librdkafkaClient,
  kcatClient,
  ...pythonClients,
  javaClient,
  javaToolsClient,
  streamsClient,
  franzGoClient,
  kadmClient,
  exactlyOnceClient,
  differentialClient,
]
