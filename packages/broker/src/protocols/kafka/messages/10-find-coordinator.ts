import { array, between, i16, i32, i8, message, nullableStr, since, str, struct, until } from '@dragoman/wire'

export const request = message(
  {
    name: 'FindCoordinatorRequest',
    versions: [0, 6],
    flexible: 3,
    doc: 'Asks which broker coordinates a group or a transactional producer.',
  },
  {
    key: until(3, str),
    /** 0: group; 1: transactional id; 2: share group. */
    keyType: since(1, i8),
    coordinatorKeys: since(4, array(str)),
  },
)

export const response = message(
  {
    name: 'FindCoordinatorResponse',
    versions: [0, 6],
    flexible: 3,
    doc: 'The coordinator of one key before version 4, of each key from it on.',
  },
  {
    throttleTimeMs: since(1, i32),
    errorCode: until(3, i16),
    errorMessage: between(1, 3, nullableStr),
    nodeId: until(3, i32),
    host: until(3, str),
    port: until(3, i32),
    coordinators: since(
      4,
      array(struct({ key: str, nodeId: i32, host: str, port: i32, errorCode: i16, errorMessage: nullableStr })),
    ),
  },
)
