import { array, bool, f64, i16, i32, i8, message, nullableArray, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'DescribeClientQuotasRequest', versions: [0, 1], flexible: 1, doc: 'Asks which quotas are set for whom.' },
  {
    components: array(
      struct({
        entityType: str,
        /** 0: exactly `match`; 1: the default; 2: any. */
        matchType: i8,
        match: nullableStr,
      }),
    ),
    /** Leaves out entities that have a type which is not asked for. */
    strict: bool,
  },
)

export const response = message(
  { name: 'DescribeClientQuotasResponse', versions: [0, 1], flexible: 1, doc: 'The quotas that are set.' },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    entries: nullableArray(
      struct({
        /** A null name stands for the default of its type. */
        entity: array(struct({ entityType: str, entityName: nullableStr })),
        values: array(struct({ key: str, value: f64 })),
      }),
    ),
  },
)
