import type { Write } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { acceptedCompressions, pushIntervalMs, subscriptionOf, telemetryBytesMax } from '../telemetry.ts'
import { defineHandler } from './handler.ts'

type Answer = Write<typeof apis.getTelemetrySubscriptions.response>

const nilId = '0'.repeat(32)

/** GetTelemetrySubscriptions 0: no metrics are wanted from clients, so they send none. A client without an id is given one. */
export const handler = defineHandler(apis.getTelemetrySubscriptions, ({ connection }, request): Answer => {
  const isNew = request.clientInstanceId === nilId
  const clientInstanceId = isNew ? connection.random.bytes(16).toString('hex') : request.clientInstanceId
  return {
    errorCode: codes.none,
    clientInstanceId,
    subscriptionId: subscriptionOf(clientInstanceId),
    acceptedCompressionTypes: acceptedCompressions,
    pushIntervalMs,
    telemetryMaxBytes: telemetryBytesMax,
    deltaTemporality: true,
    requestedMetrics: [],
  }
})
