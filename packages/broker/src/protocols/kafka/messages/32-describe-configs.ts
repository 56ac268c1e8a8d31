import { array, bool, i16, i32, i8, message, nullableArray, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeConfigsRequest',
    versions: [1, 4],
    flexible: 4,
    doc: 'Asks for the configuration of topics and brokers.',
  },
  {
    resources: array(
      struct({
        /** 2: topic; 4: broker. */
        resourceType: i8,
        resourceName: str,
        /** Null asks for all. */
        configurationKeys: nullableArray(str),
      }),
    ),
    includeSynonyms: bool,
    includeDocumentation: since(3, bool),
  },
)

export const response = message(
  { name: 'DescribeConfigsResponse', versions: [1, 4], flexible: 4, doc: 'The configuration of each resource.' },
  {
    throttleTimeMs: i32,
    results: array(
      struct({
        errorCode: i16,
        errorMessage: nullableStr,
        resourceType: i8,
        resourceName: str,
        configs: array(
          struct({
            name: str,
            value: nullableStr,
            readOnly: bool,
            /** 1: set on the topic; 4: set at start of the broker; 5: default. */
            configSource: i8,
            isSensitive: bool,
            synonyms: array(struct({ name: str, value: nullableStr, source: i8 })),
            configType: since(3, i8),
            documentation: since(3, nullableStr),
          }),
        ),
      }),
    ),
  },
)
