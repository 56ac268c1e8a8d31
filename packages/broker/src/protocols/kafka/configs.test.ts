import assert from 'node:assert/strict'
import test from 'node:test'
import { BrokerError } from '../../core/errors.ts'
import { checkTopicConfig } from '../../core/topic-config.ts'
import { readTopicConfig, topicConfigEntries, topicConfigKeys } from './configs.ts'

test('every default can be set, is taken by the core and reads back as it was', () => {
  for (const [name, { default: value }] of Object.entries(topicConfigKeys)) {
    const config = readTopicConfig([{ name, value }])
    checkTopicConfig(config)
    const row = topicConfigEntries({ config }).find(entry => entry.name === name)
    assert.deepEqual([row?.value, row?.source], [value, 1], name)
  }
})

test('values are understood as loosely as Kafka understands them, and no more loosely', () => {
  const same: [name: string, given: string, kept: string][] = [
    ['retention.ms', ' +0042 ', '42'],
    ['retention.ms', '-1', '-1'],
    ['preallocate', ' True ', 'true'],
    ['cleanup.policy', ' delete , delete', 'delete'],
    ['cleanup.policy', 'compact, delete', 'compact,delete'],
    ['cleanup.policy', '', ''],
    ['min.cleanable.dirty.ratio', '1e-1', '1e-1'],
    ['message.timestamp.type', 'CreateTime', 'CreateTime'],
  ]
  for (const [name, value, kept] of same) {
    const config = readTopicConfig([{ name, value }])
    assert.equal(topicConfigEntries({ config }).find(entry => entry.name === name)?.value, kept, name)
  }
  const refused: [name: string, value: string][] = [
    ['retention.ms', '1.5'],
    ['retention.ms', ''],
    ['segment.bytes', '0x10000'],
    ['segment.bytes', '2147483648'],
    ['preallocate', 'yes'],
    ['min.cleanable.dirty.ratio', '1.1'],
    ['min.cleanable.dirty.ratio', 'NaN'],
    ['message.timestamp.type', 'createtime'],
    ['message.format.version', '3.0'],
    ['cleanup.policy', 'compact,none'],
    ['max.compaction.lag.ms', '0'],
  ]
  for (const [name, value] of refused) {
    const isRefusal = (error: unknown) => error instanceof BrokerError && error.message.includes(name)
    assert.throws(() => readTopicConfig([{ name, value }]), isRefusal, `${name}=${value}`)
  }
})

test('the least lag of compaction must not be more than the greatest', () => {
  const lags = (least: string, greatest: string) =>
    readTopicConfig([
      { name: 'min.compaction.lag.ms', value: least },
      { name: 'max.compaction.lag.ms', value: greatest },
    ])
  checkTopicConfig(lags('5', '5'))
  assert.throws(
    () => checkTopicConfig(lags('6', '5')),
    /the least lag of compaction, 6 ms is more than the greatest, 5 ms/,
  )
})
