import { array, i16, i32, i8, message, nullableStr, str, struct } from '@dragoman/wire'

/** Null and the numbers for "any" let everything through. */
export const ruleFilter = {
  resourceTypeFilter: i8,
  resourceNameFilter: nullableStr,
  /** 1: any; 2: all that match the name; 3: literal; 4: prefixed. */
  patternTypeFilter: i8,
  principalFilter: nullableStr,
  hostFilter: nullableStr,
  operation: i8,
  permissionType: i8,
}

export const request = message(
  { name: 'DescribeAclsRequest', versions: [1, 3], flexible: 2, doc: 'Asks for the rules that a filter lets through.' },
  ruleFilter,
)

export const response = message(
  { name: 'DescribeAclsResponse', versions: [1, 3], flexible: 2, doc: 'Rules, by resource.' },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    resources: array(
      struct({
        resourceType: i8,
        resourceName: str,
        patternType: i8,
        acls: array(struct({ principal: str, host: str, operation: i8, permissionType: i8 })),
      }),
    ),
  },
)
