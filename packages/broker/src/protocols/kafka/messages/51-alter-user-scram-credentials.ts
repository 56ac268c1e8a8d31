import { array, bytes, i16, i32, i8, message, nullableStr, str, struct } from '@dragoman/wire'

export const request = message(
  {
    name: 'AlterUserScramCredentialsRequest',
    versions: [0, 0],
    flexible: 0,
    doc: 'Removes and sets passwords of users. They arrive salted.',
  },
  {
    deletions: array(struct({ name: str, mechanism: i8 })),
    upsertions: array(struct({ name: str, mechanism: i8, iterations: i32, salt: bytes, saltedPassword: bytes })),
  },
)

export const response = message(
  {
    name: 'AlterUserScramCredentialsResponse',
    versions: [0, 0],
    flexible: 0,
    doc: 'Says for each user whether the change was made.',
  },
  { throttleTimeMs: i32, results: array(struct({ user: str, errorCode: i16, errorMessage: nullableStr })) },
)
