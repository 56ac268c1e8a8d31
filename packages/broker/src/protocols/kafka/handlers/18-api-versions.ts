import type { Infer, Write } from '@dragoman/wire'
import { codes } from '../errors.ts'
import { features } from '../features.ts'
import { apis } from '../messages/index.ts'
import type { request, response } from '../messages/18-api-versions.ts'
import { defineHandler, type Handler } from './handler.ts'

/**
 * Versions 0 to 4. Offers what the session answers, and the features of `features.ts`. Clients before version 4 cannot read that a
 * feature begins at level 0: they are told only the level in force.
 * An unknown version is not for this handler: the session answers it in the oldest form, with `versionRanges` and an error.
 */
export const handler = defineHandler(apis.apiVersions, (exchange, asked, version) => {
  if (version >= softwareSince && !isSoftware(asked)) return { errorCode: codes.invalidRequest }
  return offer(exchange.handlers, version)
})

/** From this version on, clients tell what software they are. */
const softwareSince = 3
const softwareWord = /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?$/

function isSoftware({ clientSoftwareName: name, clientSoftwareVersion }: Infer<typeof request>): boolean {
  return softwareWord.test(name) && softwareWord.test(clientSoftwareVersion)
}

const offer = (handlers: ReadonlyMap<number, Handler>, version: number): Write<typeof response> => ({
  errorCode: codes.none,
  apiKeys: versionRanges(handlers),
  supportedFeatures: version < 4 ? [] : features.map(({ name, level }) => ({ name, minVersion: 0, maxVersion: level })),
  finalizedFeaturesEpoch: featuresEpoch,
  finalizedFeatures: features.map(({ name, level }) => ({ name, maxVersionLevel: level, minVersionLevel: level })),
})

/** Counts changes of the levels in force; they never change while a broker runs. Clients take levels only with an epoch. */
const featuresEpoch = 0

export function versionRanges(handlers: ReadonlyMap<number, Handler>): NonNullable<Write<typeof response>['apiKeys']> {
  return Array.from(handlers.values(), ({ key, versions }) => ({
    apiKey: key,
    // Older librdkafka sends compressed batches only to brokers that name version 0; no client sends that version any more.
    minVersion: key === apis.produce.key ? 0 : versions[0],
    maxVersion: versions[1],
  }))
}
