import { array, bool, i16, i32, i8, message, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'AlterConfigsRequest', versions: [0, 2], flexible: 2, doc: 'Replaces the whole configuration of resources.' },
  {
    resources: array(
      struct({ resourceType: i8, resourceName: str, configs: array(struct({ name: str, value: nullableStr })) }),
    ),
    validateOnly: bool,
  },
)

export const response = message(
  {
    name: 'AlterConfigsResponse',
    versions: [0, 2],
    flexible: 2,
    doc: 'Says for each resource whether it was changed.',
  },
  {
    throttleTimeMs: i32,
    responses: array(struct({ errorCode: i16, errorMessage: nullableStr, resourceType: i8, resourceName: str })),
  },
)
