import { array, i16, i32, i8, message, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'CreateAclsRequest', versions: [1, 3], flexible: 2, doc: 'Adds rules about who may do what.' },
  {
    creations: array(
      struct({
        resourceType: i8,
        resourceName: str,
        /** 3: literal; 4: prefixed. */
        resourcePatternType: i8,
        principal: str,
        host: str,
        operation: i8,
        /** 2: deny; 3: allow. */
        permissionType: i8,
      }),
    ),
  },
)

export const response = message(
  { name: 'CreateAclsResponse', versions: [1, 3], flexible: 2, doc: 'Says for each rule whether it was added.' },
  { throttleTimeMs: i32, results: array(struct({ errorCode: i16, errorMessage: nullableStr })) },
)
