import { array, bool, i16, i32, i8, message, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'IncrementalAlterConfigsRequest',
    versions: [0, 1],
    flexible: 1,
    doc: 'Changes single keys of the configuration of resources.',
  },
  {
    resources: array(
      struct({
        resourceType: i8,
        resourceName: str,
        configs: array(
          struct({
            name: str,
            /** 0: set; 1: delete; 2: append to the list; 3: subtract from it. */
            configOperation: i8,
            value: nullableStr,
          }),
        ),
      }),
    ),
    validateOnly: bool,
  },
)

export const response = message(
  {
    name: 'IncrementalAlterConfigsResponse',
    versions: [0, 1],
    flexible: 1,
    doc: 'Says for each resource whether it was changed.',
  },
  {
    throttleTimeMs: i32,
    responses: array(struct({ errorCode: i16, errorMessage: nullableStr, resourceType: i8, resourceName: str })),
  },
)
