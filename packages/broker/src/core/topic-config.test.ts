import assert from 'node:assert/strict'
import test from 'node:test'
import { BrokerError } from './errors.ts'
import {
  checkTopicConfig,
  hintPrefix,
  settingCountMax,
  settingProblem,
  topicConfig,
  topicSettings,
} from './topic-config.ts'

test('topicConfig fills in the defaults and is made once', () => {
  const config = new Map([['retentionMs', '-1']])
  const topic = {
    config,
    defaults: new Map([
      ['retentionBytes', '-1'],
      ['retentionMs', '7'],
    ]),
  }
  const settings = topicConfig(topic)
  assert.deepEqual(settings, {
    retentionMs: -1,
    retentionBytes: -1,
    messageBytesMax: 1_048_588,
    cleanupPolicy: { deletes: true, compacts: false },
    dirtyRatioMin: 0.5,
    compactionLagMinMs: 0,
    compactionLagMaxMs: Number(2n ** 63n - 1n),
    deleteRetentionMs: 86_400_000,
    timestampType: 'create',
    timestampBeforeMaxMs: Number(2n ** 63n - 1n),
    timestampAfterMaxMs: 3_600_000,
    compressionType: undefined,
    minInsyncReplicas: 1,
  })
  assert.equal(topicConfig(topic), settings)
  assert.equal(topicConfig({ ...topic, config: new Map() }).retentionMs, 7)
})

test('every default is an accepted value', () => {
  for (const [name, { default: value }] of Object.entries(topicSettings)) {
    assert.equal(settingProblem(name, value), undefined, name)
  }
})

test('checkTopicConfig names the key and what it takes', () => {
  const refused = [
    ['retentionMs', '-2', /retentionMs: takes an integer from -1 to 9223372036854775807, not "-2"/],
    ['retentionMs', '9223372036854775808', /retentionMs/],
    ['retentionBytes', '1e3', /retentionBytes/],
    ['retentionBytes', '', /retentionBytes/],
    ['messageBytesMax', '2147483648', /messageBytesMax/],
    ['cleanupPolicy', 'compacts', /takes "delete" or "compact" or .*, not "compacts"/],
    ['dirtyRatioMin', '1.1', /dirtyRatioMin: takes a number from 0 to 1, not "1.1"/],
    ['dirtyRatioMin', 'NaN', /dirtyRatioMin/],
    ['dirtyRatioMin', '', /dirtyRatioMin/],
    ['compactionLagMaxMs', '0', /compactionLagMaxMs/],
    ['compressionType', 'brotli', /compressionType/],
    ['minInsyncReplicas', '2', /there is one copy/],
    ['timestampType', 'CreateTime', /takes "create" or "append"/],
    ['toString', 'x', /toString: there is no such setting/],
    [`${hintPrefix}x`, 'y'.repeat(2000), /longer than/],
  ] as const
  for (const [name, value, text] of refused) {
    assert.throws(
      () => checkTopicConfig(new Map([[name, value]])),
      (error: unknown) => error instanceof BrokerError && error.code === 'config-invalid' && text.test(error.message),
      name,
    )
  }
  const many = new Map(Array.from({ length: settingCountMax + 1 }, (_, index) => [`${hintPrefix}${index}`, '']))
  assert.throws(() => checkTopicConfig(many), BrokerError)
  many.delete(`${hintPrefix}0`)
  checkTopicConfig(many)
})
