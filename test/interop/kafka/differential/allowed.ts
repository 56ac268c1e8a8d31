import type { Difference } from './compare.ts'

/** Differences that are meant, each with its reason. The list may only shrink. */
interface Allowed {
  /** In the name of the case. */
  asked: RegExp
  path: RegExp
  reason: string
}

const why = (reason: string, asked: RegExp, path = /./): Allowed => ({ asked, path, reason })

const allowed: readonly Allowed[] = [
  why('Epochs count the starts of the broker, from 1', /./, /\.leaderEpoch$/),
  why('Epoch 0 is older than the first one', /^ListOffsets .* older epoch/),
  why(
    "Kafka's own format and its settings file set these for all brokers",
    /^(CreateTopics|DescribeConfigs|IncrementalAlterConfigs)/,
    /configs\[(min\.insync\.replicas|(log\.)?segment\.bytes)\]/,
  ),
  why('There is one copy of each record: one is always in sync', /min\.insync\.replicas=/),
  why('An id is given when a topic is made, not when it is only checked', /^CreateTopics .*/, /\.topicId$/),
  why('The whole answer of Kafka fails where one name is wrong', /^DescribeTopicPartitions .* unknown/),
  why('The whole answer of Kafka fails where one id is nil', /^Metadata .* by nil id/),
  why('Kafka leaves out the brokers where one id is in too old a version', /^Metadata .* by id, old/),
  why('A topic that is made by asking is answered when it is there', /^Metadata .* made by asking/),
  why('There is more to say than that the topic is unknown', /^CreatePartitions .* unknown topic/, /errorMessage$/),
  why('There are no replicas to throttle', /(follower|leader)\.replication\.throttled/),
  why('There is no tiered storage', /remote\.log\.(copy|delete)/),
  why('Below -1 means nothing', /retention\.(bytes|ms)=-2/),
  why("A key of Kafka's own tests", /internal\.segment\.bytes/),
  why('What is unknown is told, also when it is to be removed', /delete an unknown key/),
  why('Kafka answers with an error of its server', /no such operation/),
  why(
    'Would change nothing here, and is refused with the reason',
    /IncrementalAlterConfigs .*(log\.segment|num\.(io|network)|log\.cleaner\.threads|max\.connections?\.(per|creation)|unclean|no\.such\.key|listeners|ssl\.|sasl\.|metric\.|producer\.id|transaction\.|group\.coord).* of broker/,
  ),
  why('Replaces what Kafka has set for all brokers by itself', /^AlterConfigs .* of a broker$/),
  why(
    'Keys that mean nothing here are not described, and those that cannot change are read-only',
    /^DescribeConfigs .* (broker|all brokers|a broker after.*|all brokers after|some keys of a broker)$/,
  ),
  why(
    'Each share group can have a limit of its own',
    /^DescribeConfigs .* group$/,
    /configs\[share\.delivery\.count\.limit\]/,
  ),
  why('There are no streams groups', /^DescribeConfigs .* group$/, /configs\[streams\./),
  why('Addresses are not looked up by name', /^AlterClientQuotas .* ip by name/),
  why('Kafka takes the last of two users without a word', /^AlterClientQuotas .* twice the same type/),
  why('Kafka takes what is not a number', /^AlterClientQuotas .* not a number/),
  why('Only what is there is offered', /^ApiVersions .* offers/, /apiKeys\[(3[489]|4[015]|57|64|8[013456789])\]/),
  why('Telemetry is answered, with no subscriptions', /^ApiVersions .* offers/, /apiKeys\[7[12]\]/),
  why(
    'Only features that clients can use',
    /^ApiVersions .* offers/,
    /Features\[(kraft|metadata|streams|eligible\.leader\.replicas)\.version\]|finalizedFeaturesEpoch/,
  ),
  why('Positions are blocks of the journal', /^DescribeQuorum .* of the metadata/, /highWatermark|logEndOffset/),
  why('Metrics of clients are not collected here', /^(DescribeConfigs|IncrementalAlterConfigs) .* metrics/),
  why('There is more to say than that the topic is unknown', /^DescribeConfigs .* unknown topic/, /errorMessage$/),
  why('What is asked for twice is refused twice', /^(ListOffsets|DeleteTopics) /, / #2\]$/),
  why('Nothing is remembered of clients that ask for subscriptions', /^GetTelemetrySubscriptions/),
]

const used = new Set<Allowed>()

/** Why a difference is meant, or undefined. */
export function reasonFor(asked: string, { path }: Difference): string | undefined {
  const found = allowed.find(one => one.asked.test(asked) && one.path.test(path))
  if (found !== undefined) used.add(found)
  return found?.reason
}

/** Reasons that explained nothing in this run. */
export function unusedReasons(): string[] {
  return allowed.filter(one => !used.has(one)).map(({ reason }) => reason)
}
