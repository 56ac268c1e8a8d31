import type { Client } from '../suite.ts'
import { compared } from './differential.ts'
import { amqp091Go } from './go.ts'
import { javaClient } from './java.ts'
import { librabbitmq } from './librabbitmq.ts'
import { amqplibTests, cloudamqpTests, rabbitmqClientTests } from './node-tests.ts'
import { celery, pikaTests } from './python.ts'

export const amqpClients: Client[] = [
  amqplibTests,
  rabbitmqClientTests,
  cloudamqpTests,
  pikaTests,
  celery,
  librabbitmq,
  amqp091Go,
  javaClient,
  compared,
]
