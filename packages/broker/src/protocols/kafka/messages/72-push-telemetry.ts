import { bool, bytes, i16, i32, i8, message, uuid } from '@dragoman/wire'

export const request = message(
  { name: 'PushTelemetryRequest', versions: [0, 0], flexible: 0, doc: 'A client sends its metrics.' },
  { clientInstanceId: uuid, subscriptionId: i32, terminating: bool, compressionType: i8, metrics: bytes },
)

export const response = message(
  { name: 'PushTelemetryResponse', versions: [0, 0], flexible: 0, doc: 'Says whether they were taken.' },
  { throttleTimeMs: i32, errorCode: i16 },
)
