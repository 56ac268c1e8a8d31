import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { startBroker, type BrokerOptions } from '../../../main.ts'
import { realRuntime } from '../../../runtime/real/real-runtime.ts'
import { RespDriver } from '../driver.ts'

const { network } = realRuntime()

async function opened(options: BrokerOptions): Promise<{ driver: RespDriver; close: () => Promise<void> }> {
  const broker = await startBroker({ ...options, resp: 0 })
  const driver = await RespDriver.connect(network, { host: '127.0.0.1', port: broker.port('resp') })
  const close = async (): Promise<void> => {
    driver.close()
    await broker.close()
  }
  return { driver, close }
}

async function about(driver: RespDriver): Promise<Record<string, unknown>> {
  const told = (await driver.text('XINFO', 'STREAM', 's')) as unknown[]
  return Object.fromEntries(told.flatMap((name, at) => (at % 2 === 0 ? [[String(name), told[at + 1]]] : [])))
}

test('XADD with IDMP adds an entry once, for each producer, also after a restart', async t => {
  const data = mkdtempSync(join(tmpdir(), 'dragoman-produced-'))
  t.after(() => rmSync(data, { recursive: true, force: true }))
  let { driver, close } = await opened({ data })
  const one = await driver.text('XADD', 's', 'IDMP', 'p1', 'order-1', '*', 'amount', '100')
  const other = await driver.text('XADD', 's', 'IDMP', 'p2', 'order-1', '*', 'amount', '100')
  assert.notEqual(one, other)
  assert.equal(await driver.text('XADD', 's', 'MAXLEN', '~', '100', 'idmp', 'p1', 'order-1', '*', 'amount', '200'), one)
  const long = 'x'.repeat(70_000)
  const ofLong = await driver.text('XADD', 's', 'IDMP', long, long, '*', 'a', 'b')
  await close()
  ;({ driver, close } = await opened({ data }))
  assert.equal(await driver.text('XADD', 's', 'IDMP', 'p1', 'order-1', '*', 'amount', '300'), one)
  assert.equal(await driver.text('XADD', 's', 'IDMP', long, long, '*', 'a', 'b'), ofLong)
  assert.equal(await driver.text('XLEN', 's'), 3)
  const { 'pids-tracked': producers, 'iids-tracked': tracked, 'iids-added': added } = await about(driver)
  assert.deepEqual([producers, tracked, added], [3, 3, 3])
  // A stream of the same name is another one.
  assert.equal(await driver.text('DEL', 's'), 1)
  assert.notEqual(await driver.text('XADD', 's', 'IDMP', 'p1', 'order-1', '*', 'amount', '100'), one)
  assert.equal(await driver.text('DBSIZE'), 1)
  await close()
})

test('XADD with IDMPAUTO takes the fields in any order for the name', async () => {
  const { driver, close } = await opened({ data: 'memory' })
  const one = await driver.text('XADD', 's', 'IDMPAUTO', 'p', '*', 'a', '1', 'b', '2')
  assert.equal(await driver.text('XADD', 's', 'IDMPAUTO', 'p', '*', 'b', '2', 'a', '1'), one)
  assert.notEqual(await driver.text('XADD', 's', 'IDMPAUTO', 'p', '*', 'a', '1b', '', '2'), one)
  assert.notEqual(await driver.text('XADD', 's', 'IDMPAUTO', 'q', '*', 'a', '1', 'b', '2'), one)
  assert.equal(await driver.text('XLEN', 's'), 3)
  await driver.text('MULTI')
  for (let at = 0; at < 2; at++) await driver.text('XADD', 's', 'IDMP', 'p', 'twice', '*', 'a', 'b')
  const [first, second] = (await driver.text('EXEC')) as unknown[]
  assert.equal(first, second)
  await close()
})

test('names are forgotten after their time, beyond their number, and by other settings', async () => {
  const { driver, close } = await opened({ data: 'memory' })
  const add = async (name: string): Promise<unknown> => driver.text('XADD', 's', 'IDMP', 'p', name, '*', 'a', 'b')
  const zero = await add('zero')
  assert.equal(await driver.text('XCFGSET', 's', 'IDMP-MAXSIZE', 100), 'OK')
  assert.equal(await add('zero'), zero)
  assert.equal(await driver.text('XCFGSET', 's', 'IDMP-MAXSIZE', 2, 'IDMP-DURATION', 1), 'OK')
  assert.notEqual(await add('zero'), zero)
  const one = await add('one')
  const two = await add('two')
  assert.equal(await add('one'), one)
  assert.equal(await add('two'), two)
  assert.equal((await about(driver))['iids-tracked'], 2)
  assert.equal((await about(driver))['iids-added'], 4)
  assert.equal((await about(driver))['iids-duplicates'], 3)
  await new Promise(resolve => setTimeout(resolve, 1100))
  assert.notEqual(await add('two'), two)
  assert.equal((await about(driver))['iids-tracked'], 1)
  await close()
})

test('what is no such XADD or XCFGSET is answered as Redis does', async () => {
  const { driver, close } = await opened({ data: 'memory' })
  const refused = async (line: string, error: RegExp): Promise<void> => {
    const answer = await driver.ask(...line.split(' ').map(part => (part === "''" ? '' : part)))
    assert(answer instanceof Error, line)
    assert.match(answer.message, error, line)
  }
  await refused('XCFGSET s IDMP-DURATION 5', /^ERR no such key$/)
  await driver.text('XADD', 's', '*', 'a', 'b')
  await refused('XADD s IDMP p1 * f v', /^ERR Invalid stream ID specified/)
  await refused('XADD s IDMP p1 i 1-1 f v', /^ERR IDMP\/IDMPAUTO can be used only with auto-generated IDs$/)
  await refused('XADD s IDMPAUTO p1 IDMP p2 i * f v', /^ERR IDMP\/IDMPAUTO specified multiple times$/)
  await refused("XADD s IDMP '' i * f v", /^ERR IDMP requires a non-empty producer ID$/)
  await refused("XADD s IDMP p '' * f v", /^ERR IDMP requires a non-empty idempotent ID$/)
  await refused("XADD s IDMPAUTO '' * f v", /^ERR IDMPAUTO requires a non-empty producer ID$/)
  await refused('XCFGSET s', /^ERR At least one parameter must be specified$/)
  await refused('XCFGSET s IDMP-DURATION', /^ERR syntax error$/)
  await refused('XCFGSET s IDMP-DURATION 86401', /^ERR IDMP-DURATION must be between 1 and 86400 seconds$/)
  await refused('XCFGSET s IDMP-MAXSIZE 0', /^ERR IDMP-MAXSIZE must be between 1 and 10000$/)
  await refused('XCFGSET s IDMP-MAXSIZE 3.14', /^ERR value is not an integer/)
  assert.equal(await driver.text('XADD', 'none', 'NOMKSTREAM', 'IDMP', 'p', 'i', '*', 'a', 'b'), null)
  await close()
})

test('names take room as values do', async () => {
  const { driver, close } = await opened({ data: 'memory', valuesMax: 1 })
  const add = async (name: string): Promise<unknown> => driver.ask('XADD', 's', 'IDMP', 'p', name, '*', 'a', 'b')
  assert(Buffer.isBuffer(await add('one')))
  const refused = await add('two')
  assert(refused instanceof Error)
  assert.match(refused.message, /^OOM/)
  assert.equal(await driver.text('XLEN', 's'), 1)
  await close()
})
