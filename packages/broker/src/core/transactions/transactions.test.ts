import assert from 'node:assert/strict'
import test from 'node:test'
import { Bench } from './test-bench.ts'

test('Transactions: what is committed is seen in all streams and groups, what is aborted in none', async () => {
  const bench = await Bench.open()
  const [a, b] = [bench.stream(), bench.stream()]
  let producer = await bench.producer('t')
  assert.deepEqual(producer, { producerId: 0, epoch: 0 })
  await bench.append('t', producer, a, ['a1', 'a2'])
  await bench.append('t', producer, b, ['b1'])
  assert.equal(await bench.commitOffset('t', producer, 'g', 10), undefined)
  assert.deepEqual([await bench.committed(a), await bench.committed(b)], [[], []])
  assert.equal(bench.committedOffset('g'), undefined)
  assert.equal(bench.groups.isPending({ namespace: '/', group: 'g' }, 'a'.repeat(32), 0), true)

  producer = await expectEnd(bench, producer, true)
  assert.equal(producer.epoch, 1)
  assert.deepEqual([await bench.committed(a), await bench.committed(b)], [['a1', 'a2'], ['b1']])
  assert.equal(bench.committedOffset('g'), 10)

  await bench.append('t', producer, a, ['a3'])
  await bench.commitOffset('t', producer, 'g', 11)
  producer = await expectEnd(bench, producer, false)
  await bench.append('t', producer, a, ['a4'])
  await expectEnd(bench, producer, true)
  assert.deepEqual(await bench.committed(a), ['a1', 'a2', 'a4'])
  assert.equal(bench.committedOffset('g'), 10)
  assert.equal(bench.groups.isPending({ namespace: '/', group: 'g' }, 'a'.repeat(32), 0), false)
  await bench.close()
})

async function expectEnd(bench: Bench, producer: { producerId: number; epoch: number }, isCommitted: boolean) {
  const { error, ...next } = await bench.end('t', producer, isCommitted)
  assert.equal(error, undefined)
  return next
}

test('Transactions: a transaction goes on after a restart, and ends in all that took part before it', async () => {
  for (const how of ['killed', 'orderly'] as const) {
    const bench = await Bench.open()
    const [a, b] = [bench.stream(), bench.stream()]
    const producer = await bench.producer('t')
    await bench.append('t', producer, a, ['a1'])
    await bench.commitOffset('t', producer, 'g', 5)
    await bench.restart(how)
    await bench.append('t', producer, b, ['b1'])
    await bench.restart(how)
    assert.equal((await bench.end('t', producer, true)).epoch, 1)
    await bench.restart(how)
    assert.deepEqual([await bench.committed(a), await bench.committed(b)], [['a1'], ['b1']])
    assert.equal(bench.committedOffset('g'), 5)
    assert.equal(bench.record('t')?.state, 'committed')
    await bench.close()
  }
})

test('Transactions: who takes over a transactional id shuts the former producer out and aborts what it left open', async () => {
  const bench = await Bench.open()
  const a = bench.stream()
  const zombie = await bench.producer('t')
  await bench.append('t', zombie, a, ['z1'])
  await bench.commitOffset('t', zombie, 'g', 1)
  const producer = await bench.producer('t')
  assert.deepEqual(producer, { producerId: zombie.producerId, epoch: zombie.epoch + 1 })
  for (const modern of [true, false]) {
    assert.equal((await bench.append('t', zombie, a, ['z2'], { modern })).error, 'producer-fenced')
    assert.equal(await bench.join('t', zombie, { streams: [a] }, { modern }), 'producer-fenced')
    assert.equal(await bench.commitOffset('t', zombie, 'g', 2, { modern }), 'producer-fenced')
    for (const isCommitted of [true, false]) {
      assert.equal((await bench.end('t', zombie, isCommitted, { modern })).error, 'producer-fenced')
    }
  }
  assert.equal((await bench.append('t', producer, a, ['p1'])).error, undefined)
  await bench.end('t', producer, true)
  assert.deepEqual(await bench.committed(a), ['p1'])
  assert.equal(bench.committedOffset('g'), undefined)
  assert.equal((await bench.register('t', { previous: zombie })).error, 'producer-fenced')
  assert.equal((await bench.end('other', producer, true)).error, 'producer-unmapped')
  assert.equal((await bench.append('t', { ...producer, producerId: 99 }, a, ['x'])).error, 'producer-unmapped')
  await bench.close()
})

test('Transactions: a producer that says who it was gets the next epoch, and the same answer when it asks again', async () => {
  const bench = await Bench.open()
  const a = bench.stream()
  const first = await bench.producer('t')
  await bench.append('t', first, a, ['a1'])
  const second = await bench.register('t', { previous: first })
  assert.equal(second.epoch, 1)
  assert.equal(bench.record('t')?.state, 'empty')
  assert.equal((await bench.register('t', { previous: first })).epoch, 1, 'the answer was lost')
  const { error: _, ...producer } = second
  await bench.append('t', producer, a, ['a2'])
  assert.equal((await bench.register('t', { previous: first })).error, 'producer-fenced', 'a late repetition')
  assert.equal(bench.record('t')?.state, 'ongoing')
  await bench.end('t', producer, true)
  assert.deepEqual(await bench.committed(a), ['a2'])
  await bench.close()
})

test('Transactions: a producer whose epochs are used up gets a new id', async () => {
  const bench = await Bench.open()
  const a = bench.stream()
  let producer = await bench.producer('t')
  // Aborting nothing takes an epoch, too.
  for (let epoch = 0; epoch < 32_766; epoch += 1) {
    bench.transactions.end(
      { namespace: '/', id: 't', ...producer, isCommitted: false, epochPerTransaction: true, connection: 1 },
      () => {},
    )
    producer = { producerId: producer.producerId, epoch: epoch + 1 }
  }
  await bench.append('t', producer, a, ['last'])
  const next = await bench.end('t', producer, true)
  assert.deepEqual(next, { error: undefined, producerId: 1, epoch: 0 })
  assert.deepEqual(await bench.end('t', producer, true), next, 'the answer was lost')
  assert.equal((await bench.append('t', producer, a, ['late'])).error, 'producer-unmapped')
  await bench.append('t', { producerId: 1, epoch: 0 }, a, ['first'])
  await bench.end('t', { producerId: 1, epoch: 0 }, true)
  await bench.restart()
  assert.deepEqual(await bench.committed(a), ['last', 'first'])
  assert.deepEqual(await bench.producer('t'), { producerId: 1, epoch: 2 })
  await bench.close()
})

test('Transactions: an end that is repeated is answered as before, and decides nothing anew', async () => {
  const bench = await Bench.open()
  const a = bench.stream()
  const producer = await bench.producer('t')
  await bench.append('t', producer, a, ['a1'])
  const next = await bench.end('t', producer, true)
  const { error: _, ...identity } = next
  assert.deepEqual(await bench.end('t', producer, true), next)
  assert.equal((await bench.end('t', producer, false)).error, 'producer-fenced')
  assert.deepEqual(await bench.committed(a), ['a1'])

  await bench.append('t', identity, a, ['a2'])
  for (const isCommitted of [true, false]) {
    assert.equal((await bench.end('t', producer, isCommitted)).error, 'producer-fenced', 'of the transaction before')
  }
  assert.equal(bench.record('t')?.state, 'ongoing')
  const third = await bench.end('t', identity, false)
  assert.deepEqual(await bench.end('t', identity, false), third)
  assert.equal(
    (await bench.end('t', { producerId: third.producerId, epoch: third.epoch }, true)).error,
    'transaction-state-invalid',
  )
  assert.deepEqual(await bench.committed(a), ['a1'])
  await bench.close()
})

test('Transactions: in the older protocol only what was added takes part, and the end can be repeated', async () => {
  const bench = await Bench.open()
  const [a, b] = [bench.stream(), bench.stream()]
  const old = { modern: false }
  const producer = await bench.producer('t')
  assert.equal((await bench.append('t', producer, a, ['no'], old)).error, 'transaction-abortable')
  assert.equal(await bench.commitOffset('t', producer, 'g', 1, old), 'transaction-abortable')
  assert.equal((await bench.end('t', producer, true, old)).error, 'transaction-state-invalid')
  assert.equal(await bench.join('t', producer, { streams: [a, b] }, old), undefined)
  assert.equal(await bench.join('t', producer, { groups: ['g'] }, old), undefined)
  assert.equal((await bench.append('t', producer, a, ['a1'], old)).error, undefined)
  assert.equal(await bench.commitOffset('t', producer, 'g', 1, old), undefined)
  const ended = await bench.end('t', producer, true, old)
  assert.deepEqual(ended, { error: undefined, ...producer }, 'the epoch stays')
  assert.deepEqual(await bench.end('t', producer, true, old), ended)
  assert.equal((await bench.end('t', producer, false, old)).error, 'transaction-state-invalid')
  assert.equal((await bench.append('t', producer, a, ['late'], old)).error, 'transaction-abortable')
  assert.deepEqual(await bench.committed(a), ['a1'])
  assert.equal(bench.committedOffset('g'), 1)
  assert.deepEqual(bench.test.client.bounds(b)?.endOffset, 0, 'a stream without records needs no marker')
  // Sequence numbers go on in the same epoch.
  await bench.join('t', producer, { streams: [a] }, old)
  assert.equal((await bench.append('t', producer, a, ['a2'], old)).error, undefined)
  await bench.end('t', producer, true, old)
  assert.deepEqual(await bench.committed(a), ['a1', 'a2'])
  await bench.close()
})

test('Transactions: in the older protocol nothing is taken over a connection that its producer has replaced', async () => {
  const bench = await Bench.open()
  const [a, b] = [bench.stream(), bench.stream()]
  const before = { modern: false, connection: 5 }
  const now = { modern: false, connection: 6 }
  const producer = await bench.producer('t')
  await bench.join('t', producer, { streams: [a] }, before)
  await bench.append('t', producer, a, ['a1'], before)
  await bench.end('t', producer, true, now)
  await bench.join('t', producer, { streams: [a] }, now)
  // All of these were sent in the first transaction, and arrive in the second.
  assert.equal((await bench.append('t', producer, a, ['late'], { ...before, sequence: 1 })).error, 'producer-fenced')
  assert.equal(await bench.join('t', producer, { streams: [b] }, before), 'producer-fenced')
  assert.equal((await bench.end('t', producer, true, before)).error, 'producer-fenced')
  assert.equal(await bench.commitOffset('t', producer, 'g', 1, before), 'producer-fenced')
  assert.equal(bench.record('t')?.state, 'ongoing')
  assert.equal((await bench.append('t', producer, a, ['a2'], now)).error, undefined)
  assert.equal((await bench.end('t', producer, true, now)).error, undefined)
  assert.deepEqual(await bench.committed(a), ['a1', 'a2'])
  await bench.close()

  const lenient = await Bench.open({ settings: { strictConnections: false } })
  const other = await lenient.producer('t')
  await lenient.join('t', other, { streams: [] }, now)
  assert.equal(await lenient.join('t', other, { groups: ['g'] }, before), undefined)
  await lenient.close()
})

test('Transactions: one that takes too long is aborted, also after a restart, and cannot be committed', async () => {
  for (const restarts of [false, true]) {
    const bench = await Bench.open()
    const a = bench.stream()
    const slow = await bench.producer('slow', 5_000)
    const other = await bench.producer('other', 60_000)
    await bench.append('slow', slow, a, ['late'])
    await bench.commitOffset('slow', slow, 'g', 3)
    await bench.append('other', other, a, ['o1'])
    await bench.clock.advance(4_000)
    assert.equal(bench.record('slow')?.state, 'ongoing')
    if (restarts) await bench.restart()
    await bench.clock.advance(2_500)
    assert.equal(bench.record('slow')?.state, 'aborted')
    assert.equal(bench.record('other')?.state, 'ongoing')
    assert.equal((await bench.end('slow', slow, true)).error, 'producer-fenced')
    assert.equal((await bench.append('slow', slow, a, ['later'])).error, 'producer-fenced')
    assert.deepEqual(await bench.end('slow', slow, false), { error: undefined, producerId: 0, epoch: 1 })
    assert.equal((await bench.end('slow', slow, false, { modern: false })).error, 'producer-fenced')
    assert.deepEqual(await bench.committed(a), [])
    await bench.end('other', other, true)
    assert.deepEqual(await bench.committed(a), ['o1'])
    assert.equal(bench.committedOffset('g'), undefined)
    const recovered = await bench.register('slow', { previous: slow })
    assert.equal(recovered.epoch, 2)
    await bench.close()
  }
})

test('Transactions: a clock that is set back does not make them last longer', async () => {
  const bench = await Bench.open()
  const a = bench.stream()
  const producer = await bench.producer('t', 1_000)
  await bench.join('t', producer, { streams: [a] })
  bench.clock.setMs = -2 * 86_400_000
  await bench.clock.advance(900)
  assert.equal(bench.record('t')?.state, 'ongoing')
  await bench.clock.advance(2_200)
  assert.equal(bench.record('t')?.state, 'aborted')
  const next = await bench.producer('t', 1_000)
  await bench.join('t', next, { streams: [a] })
  await bench.clock.advance(2_200)
  assert.equal(bench.record('t')?.state, 'aborted')
  await bench.close()
})

test('Transactions: very many that are overdue after a restart are aborted a few at a time', async () => {
  const bench = await Bench.open()
  const a = bench.stream()
  for (let index = 0; index < 350; index++) {
    const producer = await bench.producer(`t${index}`, 1_000)
    await bench.join(`t${index}`, producer, { streams: [a] })
  }
  await bench.restart()
  await bench.clock.advance(60_000)
  for (let index = 0; index < 350; index++) assert.equal(bench.record(`t${index}`)?.state, 'aborted')
  await bench.close()
})

test('Transactions: ids that nobody uses are forgotten, those with an ongoing transaction are not', async () => {
  const bench = await Bench.open({ settings: { idExpirationMs: 100_000, sweepIntervalMs: 10_000, timeoutMaxMs: 1e9 } })
  await bench.producer('idle')
  const busy = await bench.producer('busy', 1e9)
  await bench.join('busy', busy, { groups: ['g'] })
  await bench.clock.advance(90_000)
  assert.notEqual(bench.record('idle'), undefined)
  await bench.clock.advance(30_000)
  assert.equal(bench.record('idle'), undefined)
  assert.notEqual(bench.record('busy'), undefined)
  await bench.restart()
  assert.equal(bench.record('idle'), undefined)
  assert.deepEqual(await bench.producer('idle'), { producerId: 1000, epoch: 0 }, 'as if it had never been there')
  await bench.close()
})

test('Transactions: names, time-outs and numbers have bounds', async () => {
  const limits = { transactionalIdsMax: 2, transactionPartitionsMax: 3 }
  const bench = await Bench.open({ limits, settings: { timeoutMaxMs: 1000, idLengthMax: 5 } })
  assert.equal((await bench.register('', { timeoutMs: 1 })).error, 'request-invalid')
  assert.equal((await bench.register('123456', { timeoutMs: 1 })).error, 'request-invalid')
  assert.equal((await bench.register('a', { timeoutMs: 0 })).error, 'transaction-timeout-invalid')
  assert.equal((await bench.register('a', { timeoutMs: 1001 })).error, 'transaction-timeout-invalid')
  const producer = await bench.producer('a', 1000)
  await bench.producer('b', 1000)
  assert.equal((await bench.register('c', { timeoutMs: 1000 })).error, 'limit-reached')
  const streams = [bench.stream(), bench.stream(), bench.stream(), bench.stream()]
  assert.equal(await bench.join('a', producer, { streams }), 'limit-reached')
  assert.equal(bench.record('a')?.state, 'empty')
  assert.equal(await bench.join('a', producer, { streams: streams.slice(0, 3) }), undefined)
  assert.equal(await bench.join('a', producer, { streams: streams.slice(0, 2) }), undefined, 'they take part already')
  assert.equal((await bench.append('a', producer, streams[3]!, ['x'])).error, 'limit-reached')
  assert.equal(await bench.commitOffset('a', producer, 'g', 1), 'limit-reached')
  assert.equal(bench.groups.isPending({ namespace: '/', group: 'g' }, 'a'.repeat(32), 0), false)
  await bench.close()
})

test('Transactions: a stream or group that is removed meanwhile does not hinder the end', async () => {
  const bench = await Bench.open()
  const [a, b] = [bench.stream(), bench.stream()]
  const producer = await bench.producer('t')
  await bench.append('t', producer, a, ['a1'])
  await bench.append('t', producer, b, ['b1'])
  await bench.commitOffset('t', producer, 'g', 1)
  bench.test.cell.drop(a)
  await bench.groups.remove({ namespace: '/', group: 'g' })
  assert.equal((await bench.end('t', producer, true)).error, undefined)
  assert.deepEqual(await bench.committed(b), ['b1'])
  assert.equal(bench.groups.offsets('/', 'g'), undefined)
  await bench.restart()
  assert.deepEqual(await bench.committed(b), ['b1'])
  await bench.close()
})

test('Transactions: an offset that is committed outside counts, however the transaction ends that was before it', async () => {
  const bench = await Bench.open()
  const producer = await bench.producer('t')
  await bench.commitOffset('t', producer, 'g', 1)
  await bench.commitOffset('t', producer, 'g', 7, { partition: 1 })
  const partitions = [{ partition: 0, offset: 50, leaderEpoch: -1, metadata: '' }]
  const outside = { memberId: '', instanceId: null, generation: -1, expiresMs: -1 }
  const commit = { namespace: '/', group: 'g', ...outside, topics: [{ topicId: 'a'.repeat(32), partitions }] }
  assert.equal(await new Promise(resolve => bench.groups.commit(commit, resolve)), undefined)
  await bench.restart('orderly')
  await bench.end('t', producer, true)
  assert.deepEqual([bench.committedOffset('g', 0), bench.committedOffset('g', 1)], [50, 7])
  await bench.close()
})
