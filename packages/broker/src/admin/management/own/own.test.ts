import assert from 'node:assert/strict'
import test from 'node:test'
import { TestClient, type Shown } from '../testing/client.ts'

const message = {
  exchange: 'amq.default',
  routing_key: 'q',
  payload: 'later',
  properties: { content_type: 'text/plain' },
}

test('messages that wait for their time are shown, moved to another time and cancelled', async t => {
  const client = await TestClient.start(t)
  const path = '/api/dragoman/delayed/%2F'
  await client.ask('PUT', '/api/queues/%2F/q', {})
  const ids: string[] = []
  for (const delay_ms of [3_600_000, 7_200_000, 10_800_000]) {
    const { status, body } = await client.ask('POST', path, { ...message, delay_ms })
    assert.equal(status, 200)
    ids.push((body as { id: string }).id)
  }
  assert.deepEqual(await client.get('/api/dragoman/delayed'), [{ vhost: '/', exchange: '', messages: 3 }])
  const page = await client.get(`${path}?max=2`)
  assert.deepEqual(
    page.messages.map(({ id, payload, exchange, properties }: Shown) => [
      id,
      payload,
      exchange,
      properties.content_type,
    ]),
    [
      [ids[0], 'later', '', 'text/plain'],
      [ids[1], 'later', '', 'text/plain'],
    ],
  )
  const rest = await client.get(`${path}?max=2&after=${encodeURIComponent(page.next)}`)
  assert.deepEqual(
    rest.messages.map(({ id }: Shown) => id),
    [ids[2]],
  )
  assert.deepEqual((await client.get(`${path}?exchange=amq.topic`)).messages, [])
  const moved = await client.ask('PUT', `${path}/${ids[0]}`, { due_ms: Date.now() })
  assert.equal(moved.status, 200)
  while ((await client.get('/api/queues/%2F/q')).messages === 0);
  assert.equal(await client.status('GET', `${path}/${ids[0]}`), 404)
  assert.equal((await client.get(`${path}/${ids[1]}`)).payload, 'later')
  assert.equal(await client.status('DELETE', `${path}/${ids[1]}`), 204)
  assert.equal(await client.status('DELETE', `${path}/${ids[1]}`), 404)
  assert.deepEqual((await client.ask('DELETE', path)).body, { cancelled: 1 })
  assert.deepEqual((await client.get(path)).messages, [])
  for (const wrong of [{}, { ...message }, { ...message, delay_ms: -1 }, { ...message, delay_ms: 1, payload: 5 }]) {
    assert.equal(await client.status('POST', path, wrong), 400)
  }
  assert.equal(await client.status('POST', path, { ...message, exchange: 'none', delay_ms: 1 }), 404)
  for (const query of ['max=x', 'from_ms=x', 'after=nonsense'])
    assert.equal(await client.status('GET', `${path}?${query}`), 400)
})

test('schedules are made, run, disabled and removed', async t => {
  const client = await TestClient.start(t)
  const path = '/api/dragoman/schedules/%2F/daily'
  await client.ask('PUT', '/api/queues/%2F/q', {})
  const schedule = { ...message, expression: '0 3 * * *', time_zone: 'Europe/Berlin' }
  assert.equal(await client.status('PUT', path, schedule), 201)
  assert.equal(await client.status('PUT', path, schedule), 204)
  const { payload, expression, enabled, next_ms: next, published_count: count } = await client.get(path)
  assert.deepEqual([payload, expression, enabled, count], ['later', '0 3 * * *', true, 0])
  assert(next > Date.now())
  assert.equal(await client.status('POST', `${path}/run`), 204)
  assert.equal((await client.get('/api/queues/%2F/q')).messages, 1)
  assert.equal(await client.status('PUT', path, { enabled: false }), 204)
  const [shown] = await client.get('/api/dragoman/schedules')
  assert.deepEqual([shown.enabled, shown.next_ms, shown.published_count], [false, null, 1])
  assert.equal(await client.status('DELETE', path), 204)
  assert.equal(await client.status('GET', path), 404)
  for (const wrong of [
    { ...schedule, expression: 'never' },
    { ...schedule, time_zone: 'Mars' },
    { ...schedule, missed: 'x' },
    { enabled: true },
  ]) {
    assert.equal(await client.status('PUT', path, wrong), 400)
  }
})

test('messages of a queue are looked at, and brought elsewhere', async t => {
  const client = await TestClient.start(t)
  const publish = (routing_key: string): Promise<unknown> =>
    client.ask('POST', '/api/exchanges/%2F/amq.default/publish', {
      ...{ routing_key, properties: { message_id: routing_key }, payload: 'x', payload_encoding: 'string' },
    })
  await client.ask('PUT', '/api/queues/%2F/dead', {})
  const given = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
  await client.ask('PUT', '/api/queues/%2F/q', { arguments: given })
  for (let count = 0; count < 5; count++) await publish('q')
  const reject = { ackmode: 'reject_requeue_false', count: 3, encoding: 'auto' }
  await client.ask('POST', '/api/queues/%2F/q/get', reject)
  while ((await client.get('/api/queues/%2F/dead')).messages < 3);
  const path = '/api/dragoman/queues/%2F/dead'
  const { messages, next } = await client.get(`${path}/messages?max=2&reason=rejected`)
  assert.equal(messages.length, 2)
  assert.deepEqual(
    [messages[0].deaths[0].queue, messages[0].state, messages[0].properties.message_id],
    ['q', 'ready', 'q'],
  )
  assert.equal((await client.get(`${path}/messages?from=${next}`)).messages.length, 1)
  assert.deepEqual((await client.get(`${path}/messages?reason=expired`)).messages, [])
  assert.equal(await client.status('GET', `${path}/move`), 404)
  assert.equal((await client.ask('POST', `${path}/move`, { to: 'origins' })).status, 202)
  while ((await client.get('/api/queues/%2F/q')).messages < 5);
  await client.ask('PUT', '/api/queues/%2F/other', {})
  assert.equal(await client.status('POST', '/api/dragoman/queues/%2F/q/move', { to: { queue: 'other' }, max: 2 }), 202)
  while ((await client.get('/api/queues/%2F/other')).messages < 2);
  assert.equal(await client.status('POST', '/api/dragoman/queues/%2F/q/move', { to: 'nowhere' }), 202)
  while ((await client.get('/api/queues/%2F/q')).messages > 0);
  for (const wrong of [{}, { to: 'x' }, { to: 'origins', reason: 'x' }, { to: { queue: 'q' } }]) {
    assert.equal(await client.status('POST', '/api/dragoman/queues/%2F/q/move', wrong), 400)
  }
  const { status, body } = await client.ask('POST', '/api/dragoman/queues/%2F/q/move', { to: { queue: 'none' } })
  assert.deepEqual([status, (body as { reason: string }).reason], [404, 'there is no queue "none" to move messages to'])
})

test('what somebody may not do in RabbitMQ, they may not do here', async t => {
  const client = await TestClient.start(t)
  await client.ask('PUT', '/api/queues/%2F/q', {})
  await client.ask('PUT', '/api/users/ann', { password: 'secret', tags: 'management' })
  await client.ask('PUT', '/api/permissions/%2F/ann', { configure: '^$', write: '^$', read: '^$' })
  await client.ask('POST', '/api/dragoman/delayed/%2F', { ...message, delay_ms: 1e7 })
  const [{ id }] = (await client.get('/api/dragoman/delayed/%2F')).messages
  const as = (method: string, path: string, body?: unknown): Promise<number> =>
    client.status(method, `/api/dragoman/${path}`, body, 'ann:secret')
  assert.deepEqual((await client.get('/api/dragoman/delayed/%2F', 'ann:secret')).messages, [])
  for (const [method, path, body] of [
    ['GET', `delayed/%2F/${id}`],
    ['DELETE', `delayed/%2F/${id}`],
    ['DELETE', 'delayed/%2F'],
    ['POST', 'delayed/%2F', { ...message, delay_ms: 1 }],
    ['GET', 'queues/%2F/q/messages'],
    ['POST', 'queues/%2F/q/move', { to: 'nowhere' }],
    ['PUT', 'schedules/%2F/s', { ...message, expression: '* * * * *' }],
  ] as const) {
    assert.equal(await as(method, path, body), 401, path)
  }
})

test('topics are shown with their partitions, and as queues of the type stream', async t => {
  const client = await TestClient.start(t)
  await client.broker.core.topics.create('/', 'orders', { partitions: 3 })
  const topic = await client.get('/api/dragoman/topics/%2F/orders')
  assert.deepEqual(topic.partitions[1], { partition: 1, start_offset: 0, end_offset: 0, bytes: 0 })
  const [queue] = await client.get('/api/queues')
  assert.deepEqual([queue.name, queue.type, queue.partitions], ['orders', 'stream', 3])
  assert.equal(await client.status('GET', '/api/dragoman/topics/%2F/none'), 404)
})
