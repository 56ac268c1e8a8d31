import { array, i16, i32, i8, message, nullableArray, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'DescribeUserScramCredentialsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Asks by which ways users can log in with a password.',
  },
  { users: nullableArray(struct({ name: str })) },
)

export const response = message(
  {
    name: 'DescribeUserScramCredentialsResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'Users with their ways to log in, without anything secret.',
  },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    results: array(
      struct({
        user: str,
        errorCode: i16,
        errorMessage: nullableStr,
        /** Mechanism 1: SCRAM-SHA-256; 2: SCRAM-SHA-512. */
        credentialInfos: array(struct({ mechanism: i8, iterations: i32 })),
      }),
    ),
  },
)
