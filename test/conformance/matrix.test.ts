import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  properties,
  type Conformance,
  type ConformanceConsumer,
  type Place,
  type Property,
  type SharedMessage,
} from '../../packages/broker/src/protocols/conformance.ts'
import { all, world } from './protocols.ts'

const options = { timeout: 120_000 }

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

/** What comes back of the first message, with its properties where both sides have a place for them. */
async function takesAll(
  consumer: ConformanceConsumer,
  expected: SharedMessage,
  bodies: readonly string[],
  looked: readonly Property[] = properties,
): Promise<void> {
  const { message, settle } = await consumer.next()
  await settle()
  assert.deepEqual(message.body, expected.body)
  for (const property of looked) assert.deepEqual(message[property], expected[property], property)
  for (const body of bodies) {
    const next = await consumer.next()
    assert.equal(next.message.body.toString(), body)
    await next.settle()
  }
}

/** The message with the properties that survive. */
function survivorOf(survives: (property: Property) => boolean): SharedMessage {
  const { body } = whole
  return { body, ...Object.fromEntries(properties.filter(survives).map(property => [property, whole[property]])) }
}

/** Of several sizes, as long as both sides allow. */
const bodiesFor = (from: number, to: number): string[] => ['', 'a', 'x'.repeat(Math.min(from, to, 100_000))]

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
          const bodies = bodiesFor(source.bodyBytesMax(place), target.bodyBytesMax(place))
          await publisher.publish(place, 'q', whole)
          for (const body of bodies) await publisher.publish(place, 'q', { body: Buffer.from(body) })
          const survivor = survivorOf(property => {
            // The subject is the key.
            const isPlace = place === 'subject' && property === 'key'
            return !isPlace && carries(source, place, property) && carries(target, place, property)
          })
          await takesAll(await subscriber.consume(place, 'q'), survivor, bodies)
        })
      }
    }
  }
})

describe('published about a subject, consumed from a place that is bound to it', { concurrency: true }, () => {
  for (const [from, source] of protocols.filter(([, each]) => reachOf(each).includes('subject'))) {
    for (const [to, target] of protocols) {
      for (const place of target.places.filter(each => each !== 'subject')) {
        test(`${from} to ${to}, ${place}`, options, async t => {
          const { client, bind } = await world(t)
          const consumer = await client(to, target)
          await consumer.declare(place, 'q')
          await bind('news', place, 'q')
          const publisher = await client(from, source)
          const bodies = bodiesFor(source.bodyBytesMax('subject'), target.bodyBytesMax(place))
          // The subject is the key.
          const { key, ...keyless } = whole
          assert(key)
          await publisher.publish('subject', 'news', keyless)
          for (const body of bodies) await publisher.publish('subject', 'news', { body: Buffer.from(body) })
          const survivor = survivorOf(
            property => carries(source, 'subject', property) && carries(target, place, property),
          )
          if (carries(target, place, 'key')) survivor.key = 'news'
          else delete survivor.key
          await takesAll(await consumer.consume(place, 'q'), survivor, bodies)
        })
      }
    }
  }
})

describe('published to a topic that is fed to an exchange, consumed by its subject', { concurrency: true }, () => {
  for (const [from, source] of protocols.filter(([, { places }]) => places.includes('topic'))) {
    for (const [to, target] of protocols.filter(([, each]) => reachOf(each).includes('subject'))) {
      test(`${from} to ${to}`, options, async t => {
        const { client, feed } = await world(t)
        const publisher = await client(from, source)
        await publisher.declare('topic', 'q')
        await feed('q')
        const subscriber = await client(to, target)
        await subscriber.declare('subject', 'news')
        const bodies = bodiesFor(source.bodyBytesMax('topic'), target.bodyBytesMax('subject'))
        // The key is the subject.
        await publisher.publish('topic', 'q', { ...whole, key: 'news' })
        for (const body of bodies) await publisher.publish('topic', 'q', { body: Buffer.from(body), key: 'news' })
        const survivor = survivorOf(
          property => carries(source, 'topic', property) && carries(target, 'subject', property),
        )
        // Some tell the key besides.
        const looked = properties.filter(property => property !== 'key')
        await takesAll(await subscriber.consume('subject', 'news'), survivor, bodies, looked)
      })
    }
  }
})
