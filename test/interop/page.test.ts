import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { overview, overviewFile } from './page.ts'

test('the page of all clients says what the pages of the protocols say', () => {
  const text = overview()
  assert.equal(readFileSync(overviewFile, 'utf8'), text)
  for (const title of ['AMQP 0-9-1', 'beanstalk', 'Kafka', 'MQTT', 'Redis', 'STOMP'])
    assert.match(text, new RegExp(`^## \\[${title}\\]\\(\\w+-clients.md\\)\n\n\\| client \\| version `, 'm'))
})
