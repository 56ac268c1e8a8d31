import type { CaseName } from './suite.ts'

/** A case that does not pass, with the reason why that is so. */
export interface KnownFailure {
  client: string
  case: CaseName
  reason: string
}

/**
 * The cases that may fail. The list may only become shorter: a case in it that passes makes the run fail until its entry is
 * removed, and so does one that the client does not have.
 */
export const knownFailures: KnownFailure[] = [
  ...['Test848RegexBrokerResolves', 'TestConsumeRegex', 'TestConsumeRegexShareSkipsInternal'].map(
    (name): KnownFailure => ({
      client: 'franz-go, its own tests',
      case: `test: ${name}`,
      reason:
        'The test wants the topic `__consumer_offsets` to be there. Offsets of groups are not kept in a topic here.',
    }),
  ),
  {
    client: 'librdkafka, its own tests',
    case: 'test: 0081_admin',
    reason:
      'Its parts AlterConfigs and IncrementalAlterConfigs change settings of the broker that have no effect here, and are refused. ' +
      'The other parts pass.',
  },
  {
    client: 'librdkafka, its own tests',
    case: 'test: 0103_transactions',
    reason:
      'The test makes topics with three replicas; one broker has one, as Kafka alone would. Its parts without topics pass.',
  },
  ...['test_default_to_localhost', 'test_host_bind_port'].map((name): KnownFailure => ({
    client: 'stomp.py (Debian), its own tests',
    case: `test: basic::TestBasic::${name}`,
    reason:
      'The test wants the broker on port 61613, where the library looks when nothing is said; the suite has its own port.',
  })),
  ...['3.1.1', '5.0'].map((version): KnownFailure => ({
    client: `Paho's interoperability tests, ${version}`,
    case: 'test: test_subscribe_failure',
    reason:
      'The test wants a broker that is set up to let nobody subscribe to `test/nosubscribe`. What becomes of such a subscription is in `handshake.test.ts`.',
  })),
  {
    client: 'pika (Debian), its acceptance tests',
    case: 'test: blocking_adapter_test.TestInvalidExchangeTypeRaisesConnectionClosed.test',
    reason:
      'A kind of exchange that there is not ends the channel with 406, as in RabbitMQ 4; that of Debian ends the connection with 503. ' +
      "pika's newer tests expect what is done here.",
  },
  {
    client: "RabbitMQ's Java client, its functional tests",
    case: 'test: functional.FrameMax.rejectLargeFramesDuringConnectionNegotiation',
    reason:
      'The test wants no more than 4096 bytes before the size of frames is agreed; here it is 8192, as in RabbitMQ 4.',
  },
]
