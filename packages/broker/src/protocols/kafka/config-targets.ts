import { homeNamespace, type Broker, type Topic } from '../../core/broker.ts'
import type { OverrideScope } from '../../core/directory.ts'
import { BrokerError } from '../../core/errors.ts'
import type { Operation } from '../../core/identity/permissions.ts'
import { clusterName } from '../../core/identity/permissions.ts'
import { quote, topicNameProblem } from '../../core/names.ts'
import { advertisedAddress } from './cluster.ts'
import {
  brokerConfigEntries,
  brokerValue,
  dynamicBrokerKey,
  scopeEntries,
  storedBrokerKey,
  toStoredBroker,
} from './broker-configs.ts'
import {
  configSources,
  resourceTypes,
  storedKey,
  topicConfigEntries,
  topicConfigKey,
  topicConfigValue,
  toStored,
  type ConfigEntry,
} from './configs.ts'
import { codes } from './errors.ts'
import { groupConfigEntries, groupConfigKey, toStoredGroup } from './group-configs.ts'
import type { Exchange } from './handlers/handler.ts'
import { refused, type Outcome } from './outcome.ts'

interface Resource {
  readonly resourceType: number
  readonly resourceName: string
}

/** One thing that has a configuration. What it does not know it refuses by `BrokerError`. */
export interface ConfigTarget {
  /** What is set, by stored key. */
  readonly present: ReadonlyMap<string, string>
  storedKey(name: string): string
  isList(name: string): boolean
  toStored(name: string, value: string): string
  /** What is in force with `config` in the place of what is set, in Kafka's words. */
  valueOf(config: ReadonlyMap<string, string>, name: string): string
  /** Makes `config` the complete set of what is set. */
  save(config: ReadonlyMap<string, string>, validateOnly: boolean): Promise<unknown>
}

/** Why whoever asks may not do this to the configuration of a resource, or undefined. */
export function accessProblem(
  exchange: Exchange<never>,
  operation: Operation & ('describe-configs' | 'alter-configs'),
  { resourceType, resourceName }: Resource,
): Outcome | undefined {
  const text = 'Authorization failed.'
  if (resourceType === resourceTypes.topic) {
    if (exchange.may(operation, 'topic', resourceName)) return undefined
    return refused(codes.topicAuthorizationFailed, text)
  }
  if (resourceType === resourceTypes.group) {
    if (exchange.may(operation, 'group', resourceName)) return undefined
    return refused(codes.groupAuthorizationFailed, text)
  }
  return exchange.may(operation, 'cluster', clusterName) ? undefined : refused(codes.clusterAuthorizationFailed, text)
}

/** What can be altered. Throws `BrokerError` when there is no such resource, or when it cannot be. */
export function targetOf({ broker }: Exchange<never>, { resourceType, resourceName }: Resource): ConfigTarget {
  switch (resourceType) {
    case resourceTypes.topic:
      return topicTarget(broker, existingTopic(broker, resourceName))
    case resourceTypes.broker:
      return brokerTarget(broker, scopeNamed(broker, resourceName))
    case resourceTypes.group:
      return groupTarget(broker, named(resourceName, 'group'))
    case resourceTypes.clientMetrics:
      named(resourceName, 'subscription')
      throw new BrokerError('request-invalid', 'metrics of clients are not collected here')
    case resourceTypes.logger:
      checkBrokerId(broker, resourceName)
      throw new BrokerError(
        'config-invalid',
        'there are no loggers: the option log-level decides when the broker starts',
      )
    default:
      throw new BrokerError('request-invalid', `there are no resources of type ${resourceType}`)
  }
}

/** The whole configuration of a resource. Throws `BrokerError` when there is no such resource. */
export function describeTarget(exchange: Exchange<never>, { resourceType, resourceName }: Resource): ConfigEntry[] {
  const { broker, connection } = exchange
  switch (resourceType) {
    case resourceTypes.topic: {
      const overrides = (scope: OverrideScope) => broker.topics.overrides(scope)
      return topicConfigEntries(existingTopic(broker, resourceName), overrides)
    }
    case resourceTypes.broker:
      if (scopeNamed(broker, resourceName) === 'cluster') return scopeEntries(broker, 'cluster')
      return brokerConfigEntries(broker, advertisedAddress(broker, connection))
    case resourceTypes.group: {
      const { groups } = broker
      return groupConfigEntries(groups.config(homeNamespace, named(resourceName, 'group')), groups.settings)
    }
    case resourceTypes.clientMetrics:
      named(resourceName, 'subscription')
      return metricsEntries
    case resourceTypes.logger:
      checkBrokerId(broker, resourceName)
      return []
    default:
      throw new BrokerError('request-invalid', `there are no resources of type ${resourceType}`)
  }
}

function topicTarget(broker: Broker, topic: Topic): ConfigTarget {
  return {
    present: topic.config,
    storedKey,
    isList: name => topicConfigKey(name).type === 'list',
    toStored: (name, value) => toStored(name, value)[1],
    valueOf: (config, name) => topicConfigValue({ config, defaults: topic.defaults }, name).value,
    save: (config, validateOnly) => broker.topics.configure(homeNamespace, topic.name, config, { validateOnly }),
  }
}

function brokerTarget(broker: Broker, scope: OverrideScope): ConfigTarget {
  const keyOf = (name: string) => dynamicBrokerKey(broker, name)
  return {
    present: broker.topics.overrides(scope),
    storedKey: name => storedBrokerKey(keyOf(name)),
    isList: name => keyOf(name).type === 'list',
    toStored: (name, value) => toStoredBroker(name, keyOf(name), value),
    valueOf: (config, name) => config.get(storedBrokerKey(keyOf(name))) ?? brokerValue(broker, keyOf(name)) ?? '',
    save: (config, validateOnly) => broker.topics.override(scope, config, { validateOnly }),
  }
}

function groupTarget({ groups }: Broker, group: string): ConfigTarget {
  return {
    present: groups.config(homeNamespace, group),
    storedKey: name => groupConfigKey(name).setting,
    isList: () => false,
    toStored: (name, value) => toStoredGroup(name, groupConfigKey(name), value),
    valueOf: () => '',
    save: (config, validateOnly) => groups.configure({ namespace: homeNamespace, group }, config, { validateOnly }),
  }
}

function existingTopic(broker: Broker, name: string): Topic {
  if (name === '') throw new BrokerError('request-invalid', 'the name of a topic is empty')
  const problem = topicNameProblem(name)
  if (problem !== undefined) throw new BrokerError('name-invalid', problem)
  const topic = broker.topics.get(homeNamespace, name)
  if (topic === undefined) throw new BrokerError('topic-not-found', quote(name))
  return topic
}

/** The empty name stands for all brokers. */
function scopeNamed(broker: Broker, name: string): OverrideScope {
  if (name === '') return 'cluster'
  checkBrokerId(broker, name)
  return 'broker'
}

function checkBrokerId({ brokerId }: Broker, name: string): void {
  if (name !== String(brokerId))
    throw new BrokerError('request-invalid', `there is broker ${brokerId}, not ${quote(name)}`)
}

function named(name: string, kind: string): string {
  if (name === '') throw new BrokerError('request-invalid', `the name of a ${kind} is empty`)
  return name
}

/** What a subscription to metrics of clients would have: there are none. */
const metricsEntries: ConfigEntry[] = (
  [
    ['interval.ms', 'int', '300000'],
    ['match', 'list', ''],
    ['metrics', 'list', ''],
  ] as const
).map(([name, type, value]) => ({
  name,
  type,
  value,
  source: configSources.default,
  readOnly: true,
  synonyms: [],
  doc: 'Metrics of clients are not collected here.',
}))

/** Resolves when all that was seen of configurations is durable. */
export async function configsSettled({ topics, groups }: Broker): Promise<void> {
  await topics.settle()
  await new Promise<void>(resolve => groups.allSettled(resolve, undefined))
}
