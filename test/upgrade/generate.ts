import * as fs from 'node:fs'
import * as path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Random } from '@dragoman/wire'
import { Cell } from '../../packages/broker/src/cell/cell.ts'
import { LocalCellClient } from '../../packages/broker/src/cell/local-client.ts'
import { defaultCellSizes } from '../../packages/broker/src/cell/options.ts'
import { openDirectory } from '../../packages/broker/src/data-directory.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'
import * as batches from '../../packages/broker/src/storage/record-batch.ts'

/**
 * Makes `format-1/`: a data directory with every kind of file and fact of today's formats. Run it once per format, when the
 * format is new: `node test/upgrade/generate.ts`. A later release must read what this one wrote, so its output is kept for ever.
 */
const target = path.join(path.dirname(fileURLToPath(import.meta.url)), 'format-1')

async function life(work: (cell: Cell, client: LocalCellClient) => Promise<void>): Promise<void> {
  const { disk, clock } = realRuntime()
  const stores = await openDirectory({
    path: target,
    disk,
    clock,
    dsync: false,
    reserveBytes: 0,
    journalFileBytes: 16 * 1024,
  })
  const cell = await Cell.open({
    cell: 0,
    chain: stores.chain,
    blobs: stores.blobs,
    clock: {
      ...clock,
      nowMs: () => 1_800_000_000_000,
      after: () => () => {},
      monotonicMs: () => 0,
      soon: run => clock.soon(run),
    },
    random: new Random(7),
    machines: {},
    sizes: defaultCellSizes,
    exclusive: true,
    retentionOf: () => undefined,
    onFatal: error => {
      throw error
    },
    onFenced: () => {},
    log: () => {},
  })
  await work(cell, new LocalCellClient(cell))
  await cell.checkpointer.abandon()
  await cell.journal.close()
  await stores.close()
}

const record = (text: string, index: number) => ({
  key: Buffer.from(`key ${index}`),
  value: text === '' ? null : Buffer.from(text),
  headers: [{ key: 'h', value: Buffer.from(`${index}`) }],
  timestampMs: 1_700_000_000_000 + index,
})

function append(client: LocalCellClient, stream: number, texts: string[], sequence = -1): Promise<void> {
  const producer = sequence < 0 ? {} : { producerId: 4001, producerEpoch: 2, baseSequence: sequence }
  const batch = batches.makeBatch(texts.map(record), producer)
  return new Promise((resolve, reject) =>
    client.append(stream, batch, ({ error }) => (error ? reject(new Error(error)) : resolve())),
  )
}

fs.rmSync(target, { recursive: true, force: true })
// Enough blocks for the first journal file, with its fence, to be given back: the fence is then in `kept`.
await life(async (cell, client) => {
  const [first, second] = [cell.define('stream'), cell.define('stream')]
  for (let round = 0; round < 6; round++) {
    await append(client, first, [`first ${round} a`, `first ${round} b`], round * 2)
    await append(client, second, ['x'.repeat(500), ''])
    await cell.checkpointer.flush()
  }
  await client.trim(second, 3)
})
// A stream that was dropped, and facts of all kinds behind the newest checkpoint.
await life(async (cell, client) => {
  const third = cell.define('stream')
  await append(client, 1024, ['second life'])
  cell.drop(third)
  await cell.checkpointer.flush()
  await append(client, 1024, ['in the journal'], 12)
  await append(client, cell.define('stream'), ['a stream of the journal'])
  await client.trim(1024, 2)
  const forget = Buffer.alloc(8)
  batches.writeInt64(forget, 0, 9999)
  await cell.durable(cell.fact(1024, 3, forget))
  await cell.durable(cell.fact(0, 3, Buffer.alloc(0)))
})
for (const name of fs.readdirSync(path.join(target, 'cell/0/b'))) {
  if (name.startsWith('spare-')) fs.rmSync(path.join(target, 'cell/0/b', name))
}
fs.rmSync(path.join(target, 'lock'), { force: true })
