import { array, bool, f64, i16, i32, message, nullableStr, str, struct } from '@dragoman/wire'

const entity = array(struct({ entityType: str, entityName: nullableStr }))

export const request = message(
  { name: 'AlterClientQuotasRequest', versions: [0, 1], flexible: 1, doc: 'Sets and removes quotas.' },
  {
    entries: array(struct({ entity, ops: array(struct({ key: str, value: f64, remove: bool })) })),
    validateOnly: bool,
  },
)

export const response = message(
  {
    name: 'AlterClientQuotasResponse',
    versions: [0, 1],
    flexible: 1,
    doc: 'Says for each entity whether its quotas were changed.',
  },
  { throttleTimeMs: i32, entries: array(struct({ errorCode: i16, errorMessage: nullableStr, entity })) },
)
