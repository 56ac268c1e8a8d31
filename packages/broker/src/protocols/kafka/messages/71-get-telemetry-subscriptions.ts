import { array, bool, i16, i32, i8, message, str, uuid } from '@dragoman/wire'

export const request = message(
  {
    name: 'GetTelemetrySubscriptionsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'A client asks which of its metrics the broker wants.',
  },
  { clientInstanceId: uuid },
)

export const response = message(
  {
    name: 'GetTelemetrySubscriptionsResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'The metrics that are wanted, and when to ask again.',
  },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    clientInstanceId: uuid,
    subscriptionId: i32,
    acceptedCompressionTypes: array(i8),
    pushIntervalMs: i32,
    telemetryMaxBytes: i32,
    deltaTemporality: bool,
    requestedMetrics: array(str),
  },
)
