import { asks, asksInAll, types, type Case } from './cases.ts'

/** Every configuration of topics, with a value that is taken, one at each edge and some beyond. */
const topicValues: Record<string, readonly (string | null)[]> = {
  'cleanup.policy': ['delete', 'compact', 'compact,delete', 'delete,compact', '', 'none', 'DELETE', 'delete,none'],
  'compression.type': ['producer', 'gzip', 'zstd', 'uncompressed', 'none', 'Gzip'],
  'compression.gzip.level': ['-1', '1', '9', '0', '10'],
  'compression.lz4.level': ['1', '17', '0', '18'],
  'compression.zstd.level': ['1', '22', '-131072', '23', '-131073'],
  'delete.retention.ms': ['0', '5', '-1'],
  'file.delete.delay.ms': ['0', '-1'],
  'flush.messages': ['1', '0'],
  'flush.ms': ['0', '-1'],
  'follower.replication.throttled.replicas': ['', '*', '0:1', 'none', 'x'],
  'leader.replication.throttled.replicas': ['', '*', '0:1', 'none', 'x'],
  'index.interval.bytes': ['0', '-1'],
  'local.retention.bytes': ['-2', '-3'],
  'local.retention.ms': ['-2', '-3'],
  'max.compaction.lag.ms': ['1', '0'],
  'max.message.bytes': ['0', '2147483647', '2147483648', '-1', ' 12 ', '+12', '0012', '1e3'],
  'message.timestamp.after.max.ms': ['0', '-1'],
  'message.timestamp.before.max.ms': ['0', '-1'],
  'message.timestamp.type': ['CreateTime', 'LogAppendTime', 'createtime'],
  'message.format.version': ['3.0-IV1'],
  'message.downconversion.enable': ['true'],
  'min.cleanable.dirty.ratio': ['0', '1', '0.25', '1.1', '-0.1', 'x'],
  'min.compaction.lag.ms': ['0', '-1'],
  'min.insync.replicas': ['1', '0'],
  preallocate: ['true', 'TRUE', 'false', 'yes'],
  'remote.log.copy.disable': ['false', 'true'],
  'remote.log.delete.on.disable': ['false', 'true'],
  'remote.storage.enable': ['false', 'true'],
  'retention.bytes': ['-1', '0', '-2', '9223372036854775807', '9223372036854775808'],
  'retention.ms': ['-1', '0', '-2', '1', '', null],
  'segment.bytes': ['1048576', '14', '13', '1048575'],
  'segment.index.bytes': ['4', '3', '0'],
  'segment.jitter.ms': ['0', '-1'],
  'segment.ms': ['1', '0'],
  'unclean.leader.election.enable': ['false', 'true', 'x'],
  'internal.segment.bytes': ['1000'],
  'no.such.key': ['1'],
}

const operations = { set: 0, delete: 1, append: 2, subtract: 3 } as const

/** Configurations of topics: changed, replaced, described. */
export function topicConfigs(): Case[] {
  const alter = (name: string, configs: object[], more: object = {}, validateOnly = false): Case =>
    asks(name, 'incrementalAlterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs, ...more }],
      validateOnly,
    })
  const one = (name: string, configOperation: number, value: string | null) => ({ name, configOperation, value })
  const values = Object.entries(topicValues).flatMap(([key, list]) =>
    list.map(value => alter(`${key}=${value}`, [one(key, operations.set, value)], {}, true)),
  )
  const list = 'cleanup.policy'
  return [
    ...values,
    alter('set', [one('retention.ms', operations.set, '99'), one('max.message.bytes', operations.set, '1000')]),
    alter('delete', [one('retention.ms', operations.delete, null)]),
    alter('delete what is not set', [one('retention.ms', operations.delete, null)]),
    alter('delete an unknown key', [one('no.such', operations.delete, null)]),
    alter('append to what is no list', [one('retention.ms', operations.append, '1')]),
    alter('append', [one(list, operations.append, 'compact')], {}, true),
    alter('append what is there', [one(list, operations.append, 'delete')], {}, true),
    alter('append what is not taken', [one(list, operations.append, 'none')], {}, true),
    alter('subtract', [one(list, operations.subtract, 'delete')], {}, true),
    alter('subtract what is not there', [one(list, operations.subtract, 'compact')], {}, true),
    alter('append null', [one(list, operations.append, null)], {}, true),
    alter('subtract null', [one(list, operations.subtract, null)], {}, true),
    alter('no such operation', [one(list, 9, 'delete')]),
    alter('the same key twice', [one(list, operations.set, 'delete'), one(list, operations.set, 'compact')]),
    alter('no keys', []),
    alter('unknown topic', [one('retention.ms', operations.set, '1')], { resourceName: 'none' }),
    alter('bad topic', [one('retention.ms', operations.set, '1')], { resourceName: 'a b' }),
    alter('no topic', [one('retention.ms', operations.set, '1')], { resourceName: '' }),
    asks('the same resource twice', 'incrementalAlterConfigs', {
      resources: [
        { resourceType: types.topic, resourceName: 'd', configs: [one('retention.ms', operations.set, '1')] },
        { resourceType: types.topic, resourceName: 'd', configs: [one('retention.ms', operations.set, '2')] },
      ],
    }),
    ...replaced(),
    ...described(),
  ]
}

function replaced(): Case[] {
  return [
    ...asksInAll('replaced', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs: [{ name: 'retention.ms', value: '77' }] }],
    }),
    asks('replaced by bad', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs: [{ name: 'no.such', value: '77' }] }],
    }),
    asks('replaced by null', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configs: [{ name: 'retention.ms', value: null }] }],
    }),
    asks('key twice', 'alterConfigs', {
      resources: [
        {
          resourceType: types.topic,
          resourceName: 'd',
          configs: [
            { name: 'retention.ms', value: '1' },
            { name: 'retention.ms', value: '2' },
          ],
        },
      ],
    }),
    asks('unknown topic', 'alterConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'none', configs: [] }],
    }),
  ]
}

function described(): Case[] {
  return [
    ...asksInAll('topic', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: null }],
      includeSynonyms: true,
      includeDocumentation: true,
    }),
    asks('without synonyms', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: null }],
    }),
    asks('some keys', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: ['retention.ms', 'no.such'] }],
    }),
    asks('no keys', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'd', configurationKeys: [] }],
    }),
    asks('unknown topic', 'describeConfigs', { resources: [{ resourceType: types.topic, resourceName: 'none' }] }),
    asks('bad topic', 'describeConfigs', { resources: [{ resourceType: types.topic, resourceName: 'a b' }] }),
    asks('the same twice', 'describeConfigs', {
      resources: [
        { resourceType: types.topic, resourceName: 'd', configurationKeys: ['retention.ms'] },
        { resourceType: types.topic, resourceName: 'd', configurationKeys: ['retention.ms'] },
      ],
    }),
  ]
}

/** Settings of brokers that can be changed at run time in one way or another, and some that cannot. */
const brokerValues: Record<string, readonly (string | null)[]> = {
  'log.retention.ms': ['1000', '-2', 'x'],
  'log.retention.bytes': ['1000', '-1', '-2'],
  'message.max.bytes': ['2000000', '-1'],
  'log.cleanup.policy': ['delete', 'compact', 'none'],
  'log.message.timestamp.type': ['LogAppendTime', 'x'],
  'log.message.timestamp.before.max.ms': ['5'],
  'log.message.timestamp.after.max.ms': ['5'],
  'compression.type': ['gzip', 'producer'],
  'min.insync.replicas': ['1', '2', '0'],
  'log.segment.bytes': ['1048576', '3'],
  'num.io.threads': ['9', '0'],
  'num.network.threads': ['4'],
  'log.cleaner.threads': ['2'],
  'max.connections': ['500', '-1'],
  'max.connections.per.ip': ['50', '-1'],
  'max.connection.creation.rate': ['100'],
  'unclean.leader.election.enable': ['true'],
  'num.partitions': ['3'],
  'auto.create.topics.enable': ['false'],
  'log.retention.hours': ['5'],
  'node.id': ['4'],
  listeners: ['PLAINTEXT://127.0.0.1:1'],
  'no.such.key': ['1'],
  'follower.replication.throttled.rate': ['100', '-1'],
  'leader.replication.throttled.rate': ['100'],
  'ssl.keystore.password': ['x'],
  'sasl.jaas.config': ['x'],
  'metric.reporters': [''],
  'producer.id.expiration.ms': ['1000'],
  'transaction.partition.verification.enable': ['false'],
  'group.coordinator.cached.buffer.max.bytes': ['1048576'],
}

/** Configurations of brokers. */
export function brokerConfigs(): Case[] {
  const alter = (name: string, configs: object[], resourceName: string, validateOnly = true): Case =>
    asks(`${name} of broker "${resourceName}"`, 'incrementalAlterConfigs', {
      resources: [{ resourceType: types.broker, resourceName, configs }],
      validateOnly,
    })
  const one = (name: string, configOperation: number, value: string | null) => ({ name, configOperation, value })
  const describe = (name: string, resourceName: string, keys: string[] | null = null): Case =>
    asks(name, 'describeConfigs', {
      resources: [{ resourceType: types.broker, resourceName, configurationKeys: keys }],
      includeSynonyms: true,
    })
  return [
    ...Object.entries(brokerValues).flatMap(([key, list]) =>
      list.flatMap(value => ['1', ''].map(name => alter(`${key}=${value}`, [one(key, operations.set, value)], name))),
    ),
    describe('broker', '1'),
    describe('all brokers', ''),
    describe('some keys of a broker', '1', ['log.retention.ms', 'no.such']),
    describe('another broker', '7'),
    describe('no broker', 'x'),
    alter('set for all', [one('log.retention.ms', operations.set, '500000')], '', false),
    describe('all brokers after', ''),
    describe('a broker after', '1', ['log.retention.ms', 'log.retention.hours']),
    asks('topic after', 'describeConfigs', {
      resources: [{ resourceType: types.topic, resourceName: 'a', configurationKeys: ['retention.ms'] }],
      includeSynonyms: true,
    }),
    alter('set for one', [one('log.retention.ms', operations.set, '600000')], '1', false),
    describe('a broker after both', '1', ['log.retention.ms']),
    alter('delete for one', [one('log.retention.ms', operations.delete, null)], '1', false),
    alter('delete for all', [one('log.retention.ms', operations.delete, null)], '', false),
    alter('of another broker', [one('log.retention.ms', operations.set, '1')], '7'),
    alter('of no broker', [one('log.retention.ms', operations.set, '1')], 'x'),
    asks('of a broker', 'alterConfigs', {
      resources: [
        { resourceType: types.broker, resourceName: '', configs: [{ name: 'log.retention.ms', value: '9' }] },
      ],
      validateOnly: true,
    }),
    asks('of a broker, bad', 'alterConfigs', {
      resources: [{ resourceType: types.broker, resourceName: '', configs: [{ name: 'node.id', value: '9' }] }],
      validateOnly: true,
    }),
  ]
}

/** Configurations of all else. */
export function otherConfigs(): Case[] {
  const alter = (name: string, resourceType: number, resourceName: string, configs: object[], validateOnly = true) =>
    asks(name, 'incrementalAlterConfigs', { resources: [{ resourceType, resourceName, configs }], validateOnly })
  const one = (name: string, value: string | null, configOperation: number = operations.set) => ({
    name,
    configOperation,
    value,
  })
  const describe = (
    name: string,
    resourceType: number,
    resourceName: string,
    configurationKeys: string[] | null = null,
  ) =>
    asks(name, 'describeConfigs', {
      resources: [{ resourceType, resourceName, configurationKeys }],
      includeSynonyms: true,
    })
  return [
    describe('group', types.group, 'g'),
    describe('no group', types.group, ''),
    alter('group', types.group, 'g', [one('consumer.session.timeout.ms', '46000')]),
    alter('group, too short', types.group, 'g', [one('consumer.session.timeout.ms', '1')]),
    alter('group, bad key', types.group, 'g', [one('no.such', '1')]),
    alter('no group', types.group, '', [one('consumer.session.timeout.ms', '46000')]),
    describe('metrics', types.metrics, 'm'),
    describe('no metrics', types.metrics, ''),
    alter('metrics, bad key', types.metrics, 'm', [one('no.such', '1')]),
    alter('metrics, bad interval', types.metrics, 'm', [one('interval.ms', '1')]),
    alter('no metrics', types.metrics, '', [one('interval.ms', '1000')]),
    describe('loggers', types.logger, '1', ['none']),
    describe('loggers of another', types.logger, '9', ['none']),
    describe('loggers of no broker', types.logger, 'x', ['none']),
    alter('logger that is unknown', types.logger, '1', [one('no.such.logger', 'INFO')]),
    describe('unknown type', 99, 'x'),
    alter('unknown type', 99, 'x', [one('a', 'b')]),
    describe('type 0', 0, 'x'),
    ...asksInAll('all', 'listConfigResources', {}),
    asks('topics', 'listConfigResources', { resourceTypes: [types.topic] }),
    asks('brokers', 'listConfigResources', { resourceTypes: [types.broker] }),
    asks('loggers', 'listConfigResources', { resourceTypes: [types.logger] }),
    asks('groups and metrics', 'listConfigResources', { resourceTypes: [types.group, types.metrics] }),
    asks('an unknown type', 'listConfigResources', { resourceTypes: [99] }),
    asks('the same type twice', 'listConfigResources', { resourceTypes: [types.topic, types.topic] }),
  ]
}
