import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startBroker, type RunningBroker } from '@dragoman/broker'
import { AmqpDriver, type DriverChannel } from '../../packages/broker/src/protocols/amqp/driver.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'

const { network } = realRuntime()
const heldCount = 10_000

describe('a consumer that', () => {
  let broker: RunningBroker
  let good: DriverChannel
  before(async () => {
    broker = await startBroker({ data: 'memory', amqp: 0, logLevel: 'error' })
    good = await (await connect()).channel()
    await good.confirm()
  })
  after(() => broker.close())

  const connect = (): Promise<AmqpDriver> =>
    AmqpDriver.connect(network, { host: '127.0.0.1', port: broker.port('amqp') })
  const fill = async (queue: string, count: number): Promise<void> => {
    await good.declare(queue)
    const numbers = Array.from({ length: count }, (_, number) => number)
    assert((await Promise.all(numbers.map(number => good.publish('', queue, String(number))))).every(Boolean))
  }

  test(`dies while it holds ${heldCount} messages gives them all back, in their order and marked`, async () => {
    await fill('held', heldCount)
    const driver = await connect()
    const dying = await driver.channel()
    await (await dying.consume('held')).take(heldCount)
    assert.equal((await good.declare('held', { passive: true })).messageCount, 0)
    driver.destroy()
    const next = await (await connect()).channel()
    const again = await (await next.consume('held')).take(heldCount)
    assert.deepEqual(
      again.map(({ body, redelivered }) => [Number(String(body)), redelivered]),
      again.map((_, number) => [number, true]),
    )
    next.ack(again.at(-1)?.deliveryTag ?? 0, true)
    assert.equal((await good.declare('held', { passive: true })).messageCount, 0)
    await next.close()
    assert.equal(await good.get('held'), undefined)
  })

  test('acknowledges twice, or in another channel, loses its channel and nothing else', async () => {
    await fill('twice', 2)
    const driver = await connect()
    const [one, other] = [await driver.channel(), await driver.channel()]
    const [first, second] = await (await one.consume('twice')).take(2)
    assert(first && second)
    other.ack(first.deliveryTag)
    assert.equal((await other.closed()).code, 406)
    one.ack(first.deliveryTag)
    one.ack(first.deliveryTag)
    assert.equal((await one.closed()).code, 406)
    const third = await driver.channel()
    const back = await third.get('twice')
    assert.deepEqual([String(back?.body), back?.redelivered], [String(second.body), true])
    assert.equal(await third.get('twice'), undefined)
    await driver.close()
  })

  test('never acknowledges holds what it may and no more, and others get the rest', async () => {
    await fill('never', 100)
    const holding = await (await connect()).channel()
    await holding.qos(30)
    const held = await (await holding.consume('never')).take(30)
    const working = await (await connect()).channel()
    const rest = await (await working.consume('never', { noAck: true })).take(70)
    const numbers = [...held, ...rest].map(({ body }) => Number(String(body)))
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      numbers.map((_, number) => number),
    )
  })
})
