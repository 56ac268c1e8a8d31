import type { Infer } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { acceptedCompressions, subscriptionOf, telemetryBytesMax } from '../telemetry.ts'
import { defineHandler } from './handler.ts'

type Request = Infer<typeof apis.pushTelemetry.request>

const nilId = '0'.repeat(32)
const uncompressed = 0

/** PushTelemetry 0: nobody has asked for metrics, so none are kept; what breaks the rules of pushing is told so. */
export const handler = defineHandler(apis.pushTelemetry, (_, request) => ({ errorCode: problemOf(request) }))

function problemOf({ clientInstanceId, subscriptionId, compressionType, metrics }: Request): number {
  if (clientInstanceId === nilId) return codes.invalidRequest
  if (subscriptionId !== subscriptionOf(clientInstanceId)) return codes.unknownSubscriptionId
  if (compressionType !== uncompressed && !acceptedCompressions.includes(compressionType)) {
    return codes.unsupportedCompressionType
  }
  return metrics.length > telemetryBytesMax ? codes.telemetryTooLarge : codes.none
}
