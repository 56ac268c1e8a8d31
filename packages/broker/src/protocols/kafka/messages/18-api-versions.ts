import { array, i16, i32, i64, message, since, str, struct, tagged } from '@dragoman/wire'

export const request = message(
  {
    name: 'ApiVersionsRequest',
    versions: [0, 4],
    flexible: 3,
    doc: 'Asks which requests the broker takes, in which versions.',
  },
  { clientSoftwareName: since(3, str), clientSoftwareVersion: since(3, str) },
)

/** Its header has no tagged fields in any version: a client must be able to read it before it knows the broker. */
export const response = message(
  {
    name: 'ApiVersionsResponse',
    versions: [0, 4],
    flexible: 3,
    doc: 'The requests that the broker takes, each with its range of versions.',
  },
  {
    errorCode: i16,
    apiKeys: array(struct({ apiKey: i16, minVersion: i16, maxVersion: i16 })),
    throttleTimeMs: since(1, i32),
    supportedFeatures: tagged(0, array(struct({ name: str, minVersion: i16, maxVersion: i16 })), [], 3),
    finalizedFeaturesEpoch: tagged(1, i64, -1, 3),
    finalizedFeatures: tagged(2, array(struct({ name: str, maxVersionLevel: i16, minVersionLevel: i16 })), [], 3),
  },
)
