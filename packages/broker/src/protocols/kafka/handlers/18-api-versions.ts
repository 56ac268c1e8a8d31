import type { Write } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import type { response } from '../messages/18-api-versions.ts'
import { defineHandler, type Handler } from './handler.ts'

/**
 * Versions 0 to 4. Offers what the session answers, and no features: there are no transactions and no newer group protocols.
 * An unknown version is not for this handler: the session answers it in the oldest form, with `versionRanges` and an error.
 */
export const handler = defineHandler(apis.apiVersions, exchange => ({
  errorCode: codes.none,
  apiKeys: versionRanges(exchange.handlers),
}))

export function versionRanges(handlers: ReadonlyMap<number, Handler>): NonNullable<Write<typeof response>['apiKeys']> {
  return Array.from(handlers.values(), ({ key, versions }) => ({
    apiKey: key,
    minVersion: versions[0],
    maxVersion: versions[1],
  }))
}
