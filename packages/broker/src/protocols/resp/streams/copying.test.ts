import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker, type BrokerOptions } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { RespDriver } from '../driver.ts'

const { network } = realRuntime()

async function opened(
  options: BrokerOptions,
): Promise<{ ask: (line: string) => Promise<unknown>; close: () => Promise<void> }> {
  const broker = await startBroker({ ...options, resp: 0 })
  const driver = await RespDriver.connect(network, { host: '127.0.0.1', port: broker.port('resp') })
  const close = async (): Promise<void> => {
    driver.close()
    await broker.close()
  }
  return { ask: line => driver.text(...line.split(' ')), close }
}

// As Redis 7.0 answers them.
const before = [
  'XADD s 1-1 a 1',
  'XADD s 2-1 a 2 b 3',
  'XADD s 3-1 c 4',
  'XADD s 4-1 d 5',
  'XGROUP CREATE s g 0',
  'XGROUP CREATE s h $',
  'XGROUP CREATECONSUMER s g idle',
  'XREADGROUP GROUP g one COUNT 2 STREAMS s >',
  'XREADGROUP GROUP g two COUNT 1 STREAMS s >',
  'XDEL s 3-1',
  'XCLAIM s g one 0 2-1 RETRYCOUNT 7 JUSTID',
]

test('COPY of a stream has its entries, its groups and what these hold, also after a restart', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-copying-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let { ask, close } = await opened({ data })
  for (const line of before) await ask(line)
  assert.equal(await ask('COPY s t'), 1)
  assert.equal(await ask('COPY s t'), 0)
  await ask('XADD t 9-1 x y')
  await new Promise(resolve => setTimeout(resolve, 5))
  assert.equal(await ask('COPY s t REPLACE'), 1)
  assert.deepEqual(await ask('XINFO STREAM t FULL'), await ask('XINFO STREAM s FULL'))
  await close()
  ;({ ask, close } = await opened({ data }))
  for (const line of ['XRANGE % - +', 'XINFO STREAM %', 'XINFO GROUPS %', 'XPENDING % g', 'XLEN %']) {
    assert.deepEqual(await ask(line.replace('%', 't')), await ask(line.replace('%', 's')), line)
  }
  assert.deepEqual(await ask('XPENDING t g'), [
    3,
    '1-1',
    '3-1',
    [
      ['one', '2'],
      ['two', '1'],
    ],
  ])
  assert.deepEqual(await ask('XREADGROUP GROUP g one STREAMS t 0'), [
    [
      't',
      [
        ['1-1', ['a', '1']],
        ['2-1', ['a', '2', 'b', '3']],
      ],
    ],
  ])
  assert.deepEqual(await ask('XREADGROUP GROUP g two STREAMS t 0'), [['t', [['3-1', null]]]])
  assert.deepEqual(await ask('XREADGROUP GROUP g three STREAMS t >'), [['t', [['4-1', ['d', '5']]]]])
  // They have nothing in common.
  assert.equal(await ask('XACK t g 1-1'), 1)
  assert.equal(((await ask('XPENDING s g')) as unknown[])[0], 3)
  assert.equal(await ask('DEL s'), 1)
  assert.equal(await ask('XLEN t'), 3)
  await close()
})

test('COPY of a stream within a transaction, over other kinds of values, and with its end', async () => {
  const { ask, close } = await opened({ data: 'memory' })
  await ask('XADD s 1-1 a b')
  await ask('EXPIRE s 100')
  await ask('RPUSH l x')
  await ask('MULTI')
  await ask('XADD s 2-1 c d')
  await ask('COPY s t')
  await ask('COPY s l')
  await ask('COPY s l REPLACE')
  await ask('XRANGE t - +')
  assert.deepEqual(await ask('EXEC'), [
    '2-1',
    1,
    0,
    1,
    [
      ['1-1', ['a', 'b']],
      ['2-1', ['c', 'd']],
    ],
  ])
  assert.equal(await ask('TYPE l'), 'stream')
  assert.equal(await ask('TTL l'), 100)
  await close()
})

test('COPY of a stream that is too large is refused', async () => {
  const { ask, close } = await opened({ data: 'memory', listMemoryBytesMax: 1024 * 1024 })
  for (let at = 0; at < 3; at++) await ask(`XADD s * a ${'x'.repeat(400_000)}`)
  await assert.rejects(ask('COPY s t'), /cannot be copied/)
  assert.equal(await ask('EXISTS t'), 0)
  await close()
})
