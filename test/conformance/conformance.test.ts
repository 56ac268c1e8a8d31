import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ConformanceConsumer, Taken } from '../../packages/broker/src/protocols/conformance.ts'
import { all, stores, world } from './protocols.ts'

const options = { timeout: 120_000 }

async function take(consumer: ConformanceConsumer, count: number): Promise<Taken[]> {
  const taken: Taken[] = []
  while (taken.length < count) taken.push(await consumer.next())
  return taken
}

const bodies = (taken: Taken[]): string[] => taken.map(({ message }) => message.body.toString())
const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, at) => String(from + at))

for (const [name, conformance] of await all()) {
  for (const [place, store] of conformance.places.flatMap(each => stores.map(kept => [each, kept] as const))) {
    const isKept = store !== 'memory'
    describe(`${name}, ${place}, ${store}`, { concurrency: true }, () => {
      test('messages come in the order of their publishing', options, async t => {
        const client = await (await world(t, store)).client(name, conformance)
        await client.declare(place, 'q')
        for (const number of numbers(0, 100)) await client.publish(place, 'q', { body: Buffer.from(number) })
        const consumer = await client.consume(place, 'q')
        for (const wanted of numbers(0, 100)) {
          const { message, settle } = await consumer.next()
          assert.equal(message.body.toString(), wanted)
          await settle()
        }
      })

      test('bodies of any bytes and sizes come back as they were', options, async t => {
        const client = await (await world(t, store)).client(name, conformance)
        await client.declare(place, 'q')
        const every = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
        const large = Buffer.alloc(Math.min(conformance.bodyBytesMax(place), 1024 * 1024), every)
        const sent = [Buffer.alloc(0), every, Buffer.from('\r\n'), large, Buffer.from('ä€😀')]
        for (const body of sent) await client.publish(place, 'q', { body })
        const consumer = await client.consume(place, 'q')
        for (const body of sent) {
          const { message, settle } = await consumer.next()
          assert(message.body.equals(body), `${message.body.length} of ${body.length} bytes`)
          await settle()
        }
      })

      test('places of unusual names are places of their own', options, async t => {
        const client = await (await world(t, store)).client(name, conformance)
        for (const at of conformance.names(place)) {
          await client.declare(place, at)
          await client.publish(place, at, { body: Buffer.from(at) })
        }
        for (const at of conformance.names(place)) {
          const { message } = await (await client.consume(place, at)).next()
          assert.equal(message.body.toString(), at)
        }
      })

      if (isKept) {
        test('what was published is there after a restart', options, async t => {
          const { client, restart } = await world(t, store)
          const before = await client(name, conformance)
          await before.declare(place, 'q')
          for (const number of numbers(0, 20)) await before.publish(place, 'q', { body: Buffer.from(number) })
          await restart()
          const after = await client(name, conformance)
          assert.deepEqual(bodies(await take(await after.consume(place, 'q'), 20)), numbers(0, 20))
        })
      }

      if (!conformance.settles.includes(place)) return

      test('what a client holds that dies comes again, and what it has settled does not', options, async t => {
        const { client } = await world(t, store)
        const dying = await client(name, conformance)
        await dying.declare(place, 'q')
        for (const number of numbers(0, 10)) await dying.publish(place, 'q', { body: Buffer.from(number) })
        const taken = await take(await dying.consume(place, 'q'), 6)
        for (const { settle } of taken.slice(0, 3)) await settle()
        dying.cut()
        const next = await client(name, conformance)
        const again = await take(await next.consume(place, 'q'), 7)
        assert.deepEqual(bodies(again), numbers(3, 10))
        const marks = again.map(({ redelivered }) => redelivered)
        if (marks[0] !== undefined) assert.deepEqual(marks.slice(0, 3), [true, true, true])
      })

      if (isKept) {
        test('what is settled is gone after a restart, and the rest is not', options, async t => {
          const { client, restart } = await world(t, store)
          const before = await client(name, conformance)
          await before.declare(place, 'q')
          for (const number of numbers(0, 10)) await before.publish(place, 'q', { body: Buffer.from(number) })
          const taken = await take(await before.consume(place, 'q'), 5)
          // One in the middle stays: those around it are settled all the same.
          for (const at of [0, 1, 3, 4]) await taken[at]!.settle()
          await restart()
          const after = await client(name, conformance)
          assert.deepEqual(bodies(await take(await after.consume(place, 'q'), 6)), ['2', ...numbers(5, 10)])
        })
      }

      test('two consumers get each message once', options, async t => {
        const { client } = await world(t, store)
        const publisher = await client(name, conformance)
        await publisher.declare(place, 'q')
        const consumer = async () => (await client(name, conformance)).consume(place, 'q')
        const [first, second] = [await consumer(), await consumer()]
        const seen: string[] = []
        const work = async (source: ConformanceConsumer): Promise<void> => {
          while (seen.length < 40) {
            const { message, settle } = await source.next()
            seen.push(message.body.toString())
            await settle()
          }
        }
        // One of them may wait for a message that does not come any more.
        const working = Promise.race([work(first), work(second)])
        for (const number of numbers(0, 40)) await publisher.publish(place, 'q', { body: Buffer.from(number) })
        await working
        assert.deepEqual(
          seen.toSorted((a, b) => Number(a) - Number(b)),
          numbers(0, 40),
        )
      })
    })
  }
}
