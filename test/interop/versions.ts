/** The versions of others' software that the suite fetches by itself, in one place. What Debian brings is as old as Debian says. */
export const versions = {
  /** npm: @confluentinc/kafka-javascript, whose package has the sources of librdkafka and of its tests. */
  confluentJavascript: '1.10.1',
  /** The librdkafka inside it. */
  librdkafka: '2.15.1',
  /** pip. */
  confluentPython: '2.16.1, librdkafka 2.16.0',
  kafkaPython: '3.0.12',
  /** Debian 12. */
  confluentPythonDebian: '1.7.0, librdkafka 2.0.2',
  kafkaPythonDebian: '2.0.2',
  kcat: '1.7.1, librdkafka 2.0.2',
  /** Go modules; `kafka/go/go.mod` pins all that they need. */
  franzGo: '1.22.2',
  kadm: '1.19.0',
  /** Maven, by way of `bench/peers/kafka.ts`. */
  kafka: '4.2.0',
  /** Tests by tag of the sources, the library from npm. */
  amqplibTests: '2.0.1',
  rabbitmqClient: '5.0.8',
  cloudamqp: '4.1.0',
  /** Debian 12; the tests are those of its tag. */
  pikaDebian: '1.2.0',
  librabbitmqDebian: '0.11.0',
  celeryDebian: '5.2.6',
  /** Go module proxy; `amqp/go/go.mod` pins it. */
  amqp091Go: '1.16.0',
  /** Maven; the tests by tag of the sources. */
  rabbitmqJava: '5.25.0',
  /** Debian 12, for what is compared with it. */
  rabbitmq: '3.10.8',
  beanstalkd: '1.12',
  /** pip; the tests by tag of the sources. */
  greenstalk: '2.1.1',
  /** Debian 12; the tests are those of its tag. */
  stompPyDebian: '8.0.0',
  /** Debian 12. */
  pahoPythonDebian: '1.6.1',
  mosquittoDebian: '2.0.11',
  /** The commit of its tests. */
  pahoTesting: '9d7bb80bb8b9d9cfc0b52f8cb4c1916401281103',
  redisDebian: '7.0.15',
  redisPythonDebian: '4.3.4',
  /** The tests by tag of the sources. */
  redisTests: '7.2.6',
} as const
