import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker } from '../../main.ts'
import { realRuntime } from '../../runtime/real/real-runtime.ts'
import { AmqpDriver } from '../../protocols/amqp/driver.ts'
import { TestClient, type Shown } from './testing/client.ts'

const { network } = realRuntime()

test('queues, exchanges and bindings are made, shown and removed', async t => {
  const client = await TestClient.start(t)
  const queue = '/api/queues/%2F/orders'
  assert.equal(await client.status('PUT', queue, { durable: true, arguments: { 'x-max-length': 10 } }), 201)
  assert.equal(await client.status('PUT', queue, { durable: true, arguments: { 'x-max-length': 10 } }), 204)
  assert.match(
    await client.reason('PUT', queue, { durable: true }),
    /inequivalent arg 'x-max-length' for queue 'orders'/,
  )
  assert.match(await client.reason('PUT', queue, { durable: false }), /inequivalent arg 'durable'/)
  assert.equal(await client.status('PUT', '/api/exchanges/%2F/events', { type: 'topic' }), 201)
  assert.match(await client.reason('PUT', '/api/exchanges/%2F/events', { type: 'direct' }), /inequivalent arg 'type'/)
  const ends = '/api/bindings/%2F/e/events/q/orders'
  for (const binding of [{ routing_key: 'a.*' }, { routing_key: '' }, { routing_key: 'a.*', arguments: { n: 1 } }]) {
    const { status, headers } = await client.ask('POST', ends, binding)
    assert.equal(status, 201)
    const place = `${ends.slice(0, -'orders'.length)}${headers.get('location')}`
    assert.equal((await client.get(place)).routing_key, binding.routing_key)
  }
  const bindings = await client.get('/api/queues/%2F/orders/bindings')
  const withArguments = bindings.find((of: Shown) => 'n' in of.arguments)
  assert.deepEqual(bindings.map((of: Shown) => `${of.source} ${of.properties_key}`).sort(), [
    ' orders',
    'events a.%2A',
    `events ${withArguments.properties_key}`,
    'events ~',
  ])
  assert.match(withArguments.properties_key, /^a\.%2A~[\w-]{22}$/)
  assert.equal(await client.status('DELETE', `${ends}/${encodeURIComponent('a.%2A')}`), 204)
  assert.equal(await client.status('DELETE', `${ends}/${encodeURIComponent('a.%2A')}`), 404)
  assert.equal((await client.get(ends)).length, 2)
  assert.equal(await client.status('DELETE', '/api/exchanges/%2F/events?if-unused=true'), 400)
  assert.equal(await client.status('DELETE', '/api/exchanges/%2F/events'), 204)
  assert.equal(await client.status('DELETE', queue), 204)
  assert.equal(await client.status('DELETE', queue), 404)
  assert.deepEqual(await client.get('/api/queues'), [])
})

test('messages are published, looked at and taken', async t => {
  const client = await TestClient.start(t)
  await client.ask('PUT', '/api/queues/%2F/q', {})
  const publish = (routing_key: string, more: object = {}): Promise<{ body: unknown }> =>
    client.ask('POST', '/api/exchanges/%2F/amq.default/publish', {
      ...{ routing_key, properties: {}, payload: 'hello', payload_encoding: 'string', ...more },
    })
  const headers = { text: 'a', whole: 3, half: 0.5, yes: true, list: [1, 'b'], inner: { x: null } }
  const properties = { content_type: 'text/plain', delivery_mode: 2, priority: 3, timestamp: 1_700_000_000, headers }
  assert.deepEqual((await publish('q', { properties })).body, { routed: true })
  assert.deepEqual((await publish('none')).body, { routed: false })
  await publish('q', { payload: Buffer.from([0xff, 0]).toString('base64'), payload_encoding: 'base64' })
  const get = (ackmode: string, more: object = {}): Promise<Shown> =>
    client
      .ask('POST', '/api/queues/%2F/q/get', { ackmode, count: 5, encoding: 'auto', ...more })
      .then(({ body }) => body)
  const first = await get('ack_requeue_true')
  assert.deepEqual(first[0], {
    ...{ payload_bytes: 5, redelivered: false, exchange: '', routing_key: 'q', message_count: 1, properties },
    ...{ payload: 'hello', payload_encoding: 'string' },
  })
  assert.deepEqual([first[1].payload, first[1].payload_encoding], ['/wA=', 'base64'])
  const cut = await get('reject_requeue_true', { truncate: 2, encoding: 'base64' })
  assert.deepEqual([cut.length, cut[0].payload, cut[0].payload_bytes, cut[0].redelivered], [2, 'aGU=', 5, true])
  const { messages, messages_ready: ready, message_stats: counts } = await client.get('/api/queues/%2F/q')
  assert.deepEqual([messages, ready, counts.publish, counts.redeliver], [2, 2, 2, 2])
  assert.equal((await get('ack_requeue_false', { count: 1 })).length, 1)
  assert.equal((await client.get('/api/queues/%2F/q')).messages, 1)
  assert.equal(await client.status('DELETE', '/api/queues/%2F/q/contents'), 204)
  assert.deepEqual(await get('ack_requeue_true'), [])
  assert.match(await client.reason('POST', '/api/queues/%2F/q/get', { count: 1 }), /key_missing,ackmode/)
  assert.match(
    await client.reason('POST', '/api/queues/%2F/q/get', { count: 1, ackmode: 'x', encoding: 'auto' }),
    /Invalid/,
  )
  assert.equal(await client.status('POST', '/api/queues/%2F/none/get', {}), 404)
  const refused = await publish('q', { properties: { user_id: 'somebody' } })
  assert.match(String((refused.body as Shown).reason), /^406 PRECONDITION_FAILED - user_id property set to 'somebody'/)
})

test('what was rejected on getting it is dead-lettered', async t => {
  const client = await TestClient.start(t)
  await client.ask('PUT', '/api/queues/%2F/dead', {})
  const given = { 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead' }
  await client.ask('PUT', '/api/queues/%2F/q', { arguments: given })
  const message = { routing_key: 'q', properties: {}, payload: 'x', payload_encoding: 'string' }
  await client.ask('POST', '/api/exchanges/%2F/amq.default/publish', message)
  const request = { ackmode: 'reject_requeue_false', count: 1, encoding: 'auto' }
  await client.ask('POST', '/api/queues/%2F/q/get', request)
  let found: Shown[] = []
  while (found.length === 0) found = (await client.ask('POST', '/api/queues/%2F/dead/get', request)).body as Shown[]
  assert.equal(found[0].properties.headers['x-death'][0].reason, 'rejected')
})

test('users log in with their passwords, and may do what their tags and permissions say', async t => {
  const client = await TestClient.start(t)
  const put = (name: string, tags: string, password = 'secret'): Promise<number> =>
    client.status('PUT', `/api/users/${name}`, { password, tags })
  assert.deepEqual(
    await Promise.all([
      put('root', 'administrator'),
      put('eve', 'monitoring'),
      put('ann', 'management'),
      put('bob', ''),
    ]),
    [201, 201, 201, 201],
  )
  await client.ask('PUT', '/api/vhosts/v')
  await client.ask('PUT', '/api/permissions/v/ann', { configure: '^mine', write: '.*', read: '^mine' })
  const as = (name: string, method: string, path: string, body?: unknown): Promise<number> =>
    client.status(method, path, body, `${name}:secret`)
  assert.deepEqual(await client.get('/api/whoami', 'eve:secret'), { name: 'eve', tags: ['monitoring'] })
  assert.equal(await client.status('GET', '/api/whoami', undefined, 'eve:wrong'), 401)
  assert.equal(await client.status('GET', '/api/whoami', undefined, ''), 401)
  const [attempts] = await client.get('/api/auth/attempts/dragoman@localhost')
  assert.deepEqual([attempts.protocol, attempts.auth_attempts_failed], ['http', 1])
  assert.equal(await as('bob', 'GET', '/api/whoami'), 401)
  assert.deepEqual(
    await Promise.all(['root', 'eve', 'ann'].map(name => as(name, 'GET', '/api/users'))),
    [200, 401, 401],
  )
  assert.deepEqual(
    await Promise.all(['root', 'eve', 'ann'].map(name => as(name, 'GET', '/api/nodes'))),
    [200, 200, 401],
  )
  assert.deepEqual(await Promise.all(['v', '%2F'].map(vhost => as('ann', 'GET', `/api/queues/${vhost}`))), [200, 401])
  assert.equal(await as('ann', 'PUT', '/api/queues/v/mine', {}), 201)
  assert.equal(await as('ann', 'PUT', '/api/queues/v/other', {}), 401)
  // An administrator looks after namespaces, and has in them what was given to them.
  assert.equal(await as('root', 'PUT', '/api/queues/v/any', {}), 401)
  assert.equal(await as('root', 'PUT', '/api/permissions/v/root', { configure: '.*', write: '', read: '' }), 201)
  assert.equal(await as('root', 'PUT', '/api/queues/v/any', {}), 201)
  assert.deepEqual(
    (await client.get('/api/queues', 'ann:secret')).map(({ name }: Shown) => name),
    ['any', 'mine'],
  )
  assert.equal(await as('root', 'DELETE', '/api/users/ann'), 204)
  assert.equal(await as('ann', 'GET', '/api/whoami'), 401)
  assert.deepEqual(
    (await client.get('/api/vhosts/v/permissions')).map(({ user }: Shown) => user),
    ['guest', 'root'],
  )
})

test('the guest is there as long as nobody must log in', async t => {
  const open = await TestClient.start(t)
  assert.deepEqual(await open.get('/api/whoami'), { name: 'guest', tags: ['administrator'] })
  assert.equal((await open.get('/api/users'))[0].name, 'guest')
  await open.ask('PUT', '/api/users/guest', { password: 'other', tags: 'administrator' })
  assert.equal(await open.status('GET', '/api/whoami'), 401)
  assert.equal(await open.status('GET', '/api/whoami', undefined, 'guest:other'), 200)
  const closed = await TestClient.start(t, { users: 'root:secret' })
  assert.equal(await closed.status('GET', '/api/whoami'), 401)
  assert.deepEqual(await closed.get('/api/whoami', 'root:secret'), { name: 'root', tags: ['administrator'] })
  assert.equal(await closed.status('PUT', '/api/queues/%2F/q', {}, 'root:secret'), 201)
})

test('lists are sorted, cut into pages and columns', async t => {
  const client = await TestClient.start(t)
  await Promise.all(Array.from({ length: 25 }, (_, index) => client.ask('PUT', `/api/queues/%2F/q${index}`, {})))
  const page = await client.get('/api/queues?page=2&page_size=10&columns=name,vhost')
  assert.deepEqual([page.page, page.page_count, page.item_count, page.total_count], [2, 3, 10, 25])
  assert.deepEqual(Object.keys(page.items[0]), ['name', 'vhost'])
  const named = await client.get(
    '/api/queues?page=1&name=^q1.%24&use_regex=true&sort=name&sort_reverse=true&columns=name',
  )
  assert.deepEqual(
    named.items.map(({ name }: Shown) => name),
    Array.from({ length: 10 }, (_, index) => `q${19 - index}`),
  )
  assert.equal(named.filtered_count, 10)
  const nested = await client.get('/api/queues?columns=message_stats.publish_details.rate')
  assert.deepEqual(nested[0], { message_stats: { publish_details: { rate: 0 } } })
  for (const query of ['page=x', 'page=0', 'page=1&page_size=501', 'page=9', 'page=1&name=(&use_regex=true']) {
    assert.equal(await client.status('GET', `/api/queues?${query}`), 400, query)
  }
})

test('policies apply to what matches them', async t => {
  const client = await TestClient.start(t)
  await client.ask('PUT', '/api/queues/%2F/orders.new', {})
  const policy = { pattern: '^orders', definition: { 'max-length': 7 }, 'apply-to': 'queues', priority: 2 }
  assert.equal(await client.status('PUT', '/api/policies/%2F/p', policy), 201)
  assert.equal(
    await client.status('PUT', '/api/operator-policies/%2F/o', { pattern: '.*', definition: { 'max-length': 5 } }),
    201,
  )
  assert.deepEqual(await client.get('/api/policies/%2F/p'), { vhost: '/', name: 'p', ...policy })
  const queue = await client.get('/api/queues/%2F/orders.new')
  assert.deepEqual(
    [queue.policy, queue.operator_policy, queue.effective_policy_definition],
    ['p', 'o', { 'max-length': 5 }],
  )
  for (const wrong of [
    { pattern: '(', definition: { 'max-length': 1 } },
    { pattern: '.*', definition: { nothing: 1 } },
    { pattern: '.*' },
    { ...policy, 'apply-to': 'x' },
  ]) {
    assert.equal(await client.status('PUT', '/api/policies/%2F/wrong', wrong), 400)
  }
  assert.equal(await client.status('DELETE', '/api/policies/%2F/p'), 204)
  assert.equal((await client.get('/api/queues/%2F/orders.new')).policy, null)
})

test('definitions of one broker make another one like it, users with their passwords included', async t => {
  const first = await TestClient.start(t)
  for (const [path, body] of [
    ['/api/vhosts/v', { description: 'd', tags: ['t'], default_queue_type: 'quorum' }],
    ['/api/vhost-limits/v/max-queues', { value: 9 }],
    ['/api/users/ann', { password: 'secret', tags: 'administrator' }],
    [
      '/api/users/bob',
      {
        password_hash: 'AQIDBF/GJk2Wxr4aQnYYl25sw1xpyQ/t3h7fVDOCZyF8yxl3',
        hashing_algorithm: 'rabbit_password_hashing_sha256',
        tags: '',
      },
    ],
    ['/api/user-limits/ann/max-channels', { value: 3 }],
    ['/api/permissions/v/ann', { configure: 'a', write: 'b', read: 'c' }],
    ['/api/topic-permissions/v/ann', { exchange: 'amq.topic', write: 'x', read: 'y' }],
    ['/api/policies/v/p', { pattern: '.*', definition: { 'max-length': 3 }, 'apply-to': 'queues' }],
    ['/api/operator-policies/v/o', { pattern: '.*', definition: { 'max-length': 3 }, 'apply-to': 'queues' }],
    ['/api/parameters/feed/%2F/f', { value: { topic: 'orders', exchange: 'amq.topic' } }],
    ['/api/global-parameters/note', { value: { any: ['thing'] } }],
    ['/api/queues/%2F/q', { arguments: { 'x-message-ttl': 1000, 'x-queue-type': 'quorum' } }],
    ['/api/queues/%2F/log', { arguments: { 'x-queue-type': 'stream', 'x-max-age': '1h' } }],
    ['/api/exchanges/%2F/e', { type: 'headers', arguments: { 'alternate-exchange': 'amq.fanout' } }],
  ] as const) {
    assert((await first.status('PUT', path, body)) < 300, path)
  }
  await first.ask('POST', '/api/bindings/%2F/e/e/q/q', { routing_key: 'k', arguments: { 'x-match': 'any', n: 1 } })
  await first.ask('POST', '/api/bindings/%2F/e/e/e/amq.fanout', {})
  const exported = await first.get('/api/definitions')
  const second = await TestClient.start(t)
  assert.equal(await second.status('POST', '/api/definitions', exported), 204)
  assert.deepEqual(await second.get('/api/definitions'), exported)
  // What is there already is left as it is.
  assert.equal(await second.status('POST', '/api/definitions', exported), 204)
  assert.equal(await second.status('GET', '/api/whoami', undefined, 'ann:secret'), 200)
  const ofNamespace = await first.get('/api/definitions/%2F')
  await second.ask('PUT', '/api/vhosts/copy')
  assert.equal(await second.status('POST', '/api/definitions/copy', ofNamespace), 204)
  const copy = await second.get('/api/definitions/copy')
  assert.deepEqual(
    [copy.queues, copy.exchanges, copy.bindings],
    [ofNamespace.queues, ofNamespace.exchanges, ofNamespace.bindings],
  )
  for (const wrong of [
    { queues: 'x' },
    { queues: [1] },
    { queues: [{ name: 'q', vhost: 'none' }] },
    { parameters: [{ component: 'x', vhost: '/', name: 'n', value: {} }] },
    { parameters: [{ component: 'feed', vhost: '/', name: 'n', value: { topic: 't' } }] },
    'x',
  ]) {
    assert.equal(await second.status('POST', '/api/definitions', wrong), 400, JSON.stringify(wrong))
  }
})

test('connections and what they carry are shown, and can be closed', async t => {
  const client = await TestClient.start(t, { amqp: 0, logLevel: 'off' })
  const driver = await AmqpDriver.connect(network, { host: '127.0.0.1', port: client.broker.port('amqp') })
  t.after(() => driver.close())
  const [connection] = await client.get('/api/connections')
  assert.deepEqual([connection.vhost, connection.user, connection.state], ['/', 'guest', 'running'])
  const path = `/api/connections/${encodeURIComponent(connection.name)}`
  assert.equal((await client.get(path)).name, connection.name)
  assert.equal((await client.get('/api/overview')).object_totals.connections, 1)
  await driver.channel()
  const [channel] = await client.get('/api/channels')
  assert.equal(
    (await client.get(`/api/channels/${encodeURIComponent(channel.name)}`)).connection_details.name,
    connection.name,
  )
  assert.equal((await client.get(`${path}/channels`)).length, (await client.get('/api/vhosts/%2F/channels')).length)
  assert.equal((await client.get('/api/connections?page=1&page_size=5')).items[0].name, connection.name)
  assert.equal(await client.status('DELETE', path), 204)
  while ((await client.get('/api/connections')).length > 0);
  assert.equal(await client.status('GET', path), 404)
})

test('with a namespace, and with a user, go their connections', async t => {
  const client = await TestClient.start(t, { amqp: 0, logLevel: 'off' })
  await client.ask('PUT', '/api/vhosts/v')
  await client.ask('PUT', '/api/users/ann', { password: 'secret', tags: '' })
  for (const vhost of ['v', '%2F']) {
    await client.ask('PUT', `/api/permissions/${vhost}/ann`, { configure: '.*', write: '.*', read: '.*' })
  }
  const address = { host: '127.0.0.1', port: client.broker.port('amqp') }
  for (const virtualHost of ['v', '/']) {
    const driver = await AmqpDriver.connect(network, address, { virtualHost, user: 'ann', password: 'secret' })
    t.after(() => driver.close())
  }
  const count = async (): Promise<number> => (await client.get('/api/connections')).length
  assert.equal(await count(), 2)
  await client.ask('DELETE', '/api/vhosts/v')
  while ((await count()) > 1);
  await client.ask('DELETE', '/api/users/ann')
  while ((await count()) > 0);
})

test('all that was made is there after a restart', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-test-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  const broker = await startBroker({ data, management: 0 })
  const first = new TestClient(broker)
  await first.ask('PUT', '/api/vhosts/v')
  await first.ask('PUT', '/api/users/ann', { password: 'secret', tags: 'administrator' })
  await first.ask('PUT', '/api/permissions/v/ann', { configure: '.*', write: '.*', read: '.*' })
  await first.ask('PUT', '/api/queues/v/q', {})
  const before = await first.get('/api/definitions')
  await broker.close()
  const second = await TestClient.start(t, { data })
  assert.deepEqual(await second.get('/api/definitions', 'ann:secret'), before)
})

test('a namespace takes all that is in it along', async t => {
  const client = await TestClient.start(t)
  await client.ask('PUT', '/api/vhosts/v')
  await client.ask('PUT', '/api/queues/v/q', {})
  await client.ask('PUT', '/api/policies/v/p', { pattern: '.*', definition: { 'max-length': 3 } })
  assert.equal(await client.status('DELETE', '/api/vhosts/v'), 204)
  assert.equal(await client.status('GET', '/api/queues/v'), 404)
  assert.equal(await client.status('DELETE', '/api/vhosts/v'), 404)
  await client.ask('PUT', '/api/vhosts/v')
  assert.deepEqual([await client.get('/api/queues/v'), await client.get('/api/policies/v')], [[], []])
})

test('health and metrics are for everybody', async t => {
  const client = await TestClient.start(t)
  assert.deepEqual(await client.get('/health', ''), { status: 'ok' })
  await client.ask('PUT', '/api/queues/%2F/q', {})
  const message = { routing_key: 'q', properties: {}, payload: 'abc', payload_encoding: 'string' }
  await client.ask('POST', '/api/exchanges/%2F/amq.default/publish', message)
  client.broker.core.connections.lostBy('x').count += 7
  client.broker.core.connections.closedBy('x').count += 5
  const { text } = await client.ask('GET', '/metrics', undefined, '')
  const valueOf = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(text)?.[1])
  assert.deepEqual(
    ['dragoman_queues', 'dragoman_queue_messages_ready', 'dragoman_queue_published_total'].map(valueOf),
    [1, 1, 1],
  )
  assert(valueOf('dragoman_connections\\{listener="management"\\}') >= 1)
  assert(valueOf('dragoman_journal_blocks_total') > 0)
  assert.equal(valueOf('dragoman_subscriber_lost_total\\{protocol="x"\\}'), 7)
  assert.equal(valueOf('dragoman_subscriber_closed_total\\{protocol="x"\\}'), 5)
  // Each line is a comment, or a name, labels and a number.
  for (const line of text.trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) \w+ .+|\w+(\{[^{}]+\})? -?[\d.e+]+)$/)
})

test('the metrics that there are, and those that the docs tell of, are the same', async t => {
  const client = await TestClient.start(t)
  const { text } = await client.ask('GET', '/metrics', undefined, '')
  const told = new Set(Array.from(text.matchAll(/^# TYPE (\w+)/gm), ([, name]) => name))
  const page = readFileSync(new URL('../../../../../docs/operating/monitoring.md', import.meta.url), 'utf8')
  const documented = new Set(page.match(/dragoman_\w+/g))
  // In memory there is no disk, and descriptors are counted on Linux.
  documented.delete('dragoman_disk_free_bytes')
  documented.delete('dragoman_disk_size_bytes')
  if (process.platform !== 'linux') {
    documented.delete('dragoman_process_descriptors')
    documented.delete('dragoman_process_descriptors_max')
  }
  assert.deepEqual(told, documented)
})

test('hostile requests are refused with words', async t => {
  const client = await TestClient.start(t)
  const deep = `${'['.repeat(5000)}${']'.repeat(5000)}`
  for (const body of ['', 'null', '[]', '1', '"x"', '{', `{"arguments":${deep}}`, '{"arguments":5}', '{"durable":7}']) {
    const { status } = await client.ask('PUT', '/api/queues/%2F/q', body)
    assert([201, 204, 400].includes(status), `${body.slice(0, 20)}: ${status}`)
  }
  for (const path of [
    '/api/queues/%zz',
    '/api/queues/%2F/%00',
    '/api/nothing',
    '//',
    '/api/queues/none/q',
    '/api/users/%2F%2F',
  ]) {
    const { status, body } = await client.ask('GET', path)
    assert.equal(status, 404, path)
    assert.equal((body as { error: string }).error, 'Object Not Found')
  }
  assert.equal(await client.status('PATCH', '/api/queues'), 405)
  assert.equal(await client.status('PUT', `/api/users/${'x'.repeat(300)}`, { password: 'x', tags: '' }), 400)
  assert.equal(await client.status('PUT', '/api/vhosts/%0a'), 400)
})

const certificate = (name: string): string =>
  new URL(`../../../../../test/support/certificates/${name}`, import.meta.url).pathname
const serverFiles = { tlsCert: certificate('server.crt'), tlsKey: certificate('server.key') }

test('a super user whose certificate says so need not log in', async t => {
  const pem = (name: string): string => readFileSync(certificate(name), 'utf8')
  const ask = (client: TestClient, own: object): Promise<[number | undefined, string]> =>
    new Promise((resolve, reject) => {
      const port = client.broker.port('http-tls')
      const options = { host: 'localhost', port, path: '/api/whoami', ca: pem('authority.crt'), agent: false, ...own }
      const asked = request(options, response => {
        let text = ''
        response.on('data', chunk => (text += String(chunk)))
        response.on('end', () => resolve([response.statusCode, text]))
      })
      asked.on('error', reject).end()
    })
  const asked = { tlsCa: certificate('authority.crt'), tlsClientAuth: 'want' as const, ...serverFiles }
  const own = { cert: pem('client.crt'), key: pem('client.key') }
  const options = { httpTls: 0, users: 'root:secret', tlsPrincipal: 'cn' as const, ...asked }
  const trusting = await TestClient.start(t, { ...options, superUsers: 'app' })
  assert.deepEqual(await ask(trusting, own), [200, '{"name":"app","tags":["administrator"]}'])
  assert.equal((await ask(trusting, {}))[0], 401)
  const other = await TestClient.start(t, options)
  assert.match((await ask(other, own))[1], /Not management user/)
})

test('a certificate that is about to end is told of', async t => {
  const client = await TestClient.start(t)
  assert.deepEqual(await client.get('/api/health/checks/certificate-expiration/1/days'), { status: 'ok' })
  for (const path of ['x/days', '1/eons', '0/days']) {
    assert.equal(await client.status('GET', `/api/health/checks/certificate-expiration/${path}`), 400)
  }
  const secure = await TestClient.start(t, { httpTls: 0, ...serverFiles })
  const { status, body } = await secure.ask('GET', '/api/health/checks/certificate-expiration/200/years')
  assert.equal(status, 503)
  assert.match(JSON.stringify(body), /"reason":"Certificates expiring","expired":\[\{"subject":"[^"]*CN=/)
  const listeners = (await secure.get('/api/overview')).listeners.map(({ protocol }: Shown) => protocol)
  assert.deepEqual(listeners.sort(), ['http', 'https'])
})
