import type { Write } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { features } from '../features.ts'
import { apis } from '../messages/index.ts'
import type { response } from '../messages/18-api-versions.ts'
import { defineHandler, type Handler } from './handler.ts'

/**
 * Versions 0 to 4. Offers what the session answers, and the features of `features.ts`. Clients before version 4 cannot read that a
 * feature begins at level 0: they are told only the level in force.
 * An unknown version is not for this handler: the session answers it in the oldest form, with `versionRanges` and an error.
 */
export const handler = defineHandler(apis.apiVersions, (exchange, _request, version) => ({
  errorCode: codes.none,
  apiKeys: versionRanges(exchange.handlers),
  supportedFeatures: version < 4 ? [] : features.map(({ name, level }) => ({ name, minVersion: 0, maxVersion: level })),
  finalizedFeaturesEpoch: featuresEpoch,
  finalizedFeatures: features.map(({ name, level }) => ({ name, maxVersionLevel: level, minVersionLevel: level })),
}))

/** Counts changes of the levels in force; they never change while a broker runs. Clients take levels only with an epoch. */
const featuresEpoch = 0

export function versionRanges(handlers: ReadonlyMap<number, Handler>): NonNullable<Write<typeof response>['apiKeys']> {
  return Array.from(handlers.values(), ({ key, versions }) => ({
    apiKey: key,
    minVersion: versions[0],
    maxVersion: versions[1],
  }))
}
