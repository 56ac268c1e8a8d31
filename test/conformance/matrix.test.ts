import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  properties,
  type Conformance,
  type Place,
  type Property,
  type SharedMessage,
} from '../../packages/broker/src/protocols/conformance.ts'
import { all, world } from './protocols.ts'

const options = { timeout: 30_000 }

const whole: SharedMessage = {
  body: Buffer.from([0, 1, 254, 255]),
  key: 'customer-7',
  headers: { region: 'eu', note: 'ä€' },
  contentType: 'application/json',
  contentEncoding: 'gzip',
  correlationId: 'c-1',
  replyTo: 'answers',
  messageId: 'm-1',
  groupId: 'g-1',
}

const protocols = await all()

const carries = ({ carries: all, carriesIn }: Conformance, place: Place, property: Property): boolean =>
  (carriesIn?.[place] ?? all).includes(property)

const reachOf = ({ places, reaches = [] }: Conformance): Place[] => [...places, ...reaches]

describe('published in one protocol, consumed in another', { concurrency: true }, () => {
  for (const [from, source] of protocols) {
    for (const [to, target] of protocols) {
      const reached = reachOf(target)
      for (const place of reachOf(source).filter(each => reached.includes(each))) {
        test(`${from} to ${to}, ${place}`, options, async t => {
          const { client } = await world(t)
          const publisher = await client(from, source)
          await publisher.declare(place, 'q')
          // Of a subject, everybody gets what comes after they have asked for it.
          const subscriber = await client(to, target)
          if (place === 'subject') await subscriber.declare(place, 'q')
          const bodies = [
            '',
            'a',
            'x'.repeat(Math.min(source.bodyBytesMax(place), target.bodyBytesMax(place), 100_000)),
          ]
          await publisher.publish(place, 'q', whole)
          for (const body of bodies) await publisher.publish(place, 'q', { body: Buffer.from(body) })
          const consumer = await subscriber.consume(place, 'q')
          const { message, settle } = await consumer.next()
          await settle()
          assert.deepEqual(message.body, whole.body)
          for (const property of properties) {
            // The subject is the key.
            const isPlace = place === 'subject' && property === 'key'
            const survives = !isPlace && carries(source, place, property) && carries(target, place, property)
            assert.deepEqual(message[property], survives ? whole[property] : undefined, property)
          }
          for (const body of bodies) {
            const next = await consumer.next()
            assert.equal(next.message.body.toString(), body)
            await next.settle()
          }
        })
      }
    }
  }
})
