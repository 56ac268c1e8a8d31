import { array, i16, i32, i8, message, nullableStr, str, struct } from '@dragoman/wire'
import { ruleFilter } from './29-describe-acls.ts'

export const request = message(
  { name: 'DeleteAclsRequest', versions: [1, 3], flexible: 2, doc: 'Removes the rules that filters let through.' },
  { filters: array(struct(ruleFilter)) },
)

export const response = message(
  { name: 'DeleteAclsResponse', versions: [1, 3], flexible: 2, doc: 'Says for each filter which rules were removed.' },
  {
    throttleTimeMs: i32,
    filterResults: array(
      struct({
        errorCode: i16,
        errorMessage: nullableStr,
        matchingAcls: array(
          struct({
            errorCode: i16,
            errorMessage: nullableStr,
            resourceType: i8,
            resourceName: str,
            patternType: i8,
            principal: str,
            host: str,
            operation: i8,
            permissionType: i8,
          }),
        ),
      }),
    ),
  },
)
