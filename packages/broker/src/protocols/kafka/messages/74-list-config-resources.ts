import { array, i16, i32, i8, message, since, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'ListConfigResourcesRequest',
    versions: [0, 1],
    flexible: 0,
    doc: 'Asks for the names of all that has a configuration.',
  },
  {
    /** None asks for all types; version 0 asks for client metrics (16) only. */
    resourceTypes: since(1, array(i8)),
  },
)

export const response = message(
  { name: 'ListConfigResourcesResponse', versions: [0, 1], flexible: 0, doc: 'Names, with their types.' },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    configResources: array(struct({ resourceName: str, resourceType: since(1, i8, 16) })),
  },
)
