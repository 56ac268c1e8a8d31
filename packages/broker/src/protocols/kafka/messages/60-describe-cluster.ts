import { array, bool, i16, i32, i8, message, nullableStr, since, str, struct } from '@dragoman/wire'

export const request = message(
  { name: 'DescribeClusterRequest', versions: [0, 2], flexible: 0, doc: 'Asks for the brokers.' },
  {
    includeClusterAuthorizedOperations: bool,
    /** 1: brokers; 2: controllers. */
    endpointType: since(1, i8, 1),
    includeFencedBrokers: since(2, bool),
  },
)

export const response = message(
  {
    name: 'DescribeClusterResponse',
    versions: [0, 2],
    flexible: 0,
    doc: 'The brokers, and which of them is the controller.',
  },
  {
    throttleTimeMs: i32,
    errorCode: i16,
    errorMessage: nullableStr,
    endpointType: since(1, i8, 1),
    clusterId: str,
    controllerId: i32,
    brokers: array(struct({ brokerId: i32, host: str, port: i32, rack: nullableStr, isFenced: since(2, bool) })),
    clusterAuthorizedOperations: i32,
  },
)
