import { Restore } from '../../packages/broker/src/cell/restore.ts'
import { machineKinds } from '../../packages/broker/src/cell/machine.ts'
import type { CellState } from '../../packages/broker/src/cell/state.ts'
import { defaultCellSizes } from '../../packages/broker/src/cell/options.ts'
import { CursorMachine } from '../../packages/broker/src/core/cursor/machine.ts'
import { ListsMachine } from '../../packages/broker/src/core/lists/machine.ts'
import type { Order } from '../../packages/broker/src/core/lists/order.ts'
import { machines } from '../../packages/broker/src/machines.ts'
import { DiskError } from '../../packages/broker/src/runtime/runtime.ts'
import type { SimDisk } from '../../packages/broker/src/runtime/simulated/disk.ts'
import type { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'
import type { BlobStore } from '../../packages/broker/src/storage/blob-store.ts'
import { readBlock } from '../../packages/broker/src/storage/block.ts'
import type { ChainStore } from '../../packages/broker/src/storage/chain-store.ts'
import { FileBlobStore, FileChainStore } from '../../packages/broker/src/storage/file-store.ts'

let inspectors = 0

/** I11: the state from the newest checkpoint and the blocks behind it equals that from the older one and all blocks behind that. */
export async function compareReplays(simulator: Simulator, disk: SimDisk, path: string): Promise<void> {
  const process = simulator.process(`inspector-${++inspectors}`, { disk })
  const runtime = process.start()
  const chain = new FileChainStore(path, { ...runtime, fileBytes: 64 * 1024, dsync: true, reserveBytes: 0 })
  const blobs = new FileBlobStore(path, runtime.disk)
  try {
    const newest = await replay(simulator, chain, blobs)
    const older = await replay(simulator, chain, withoutNewestCheckpoint(blobs))
    if (newest && older && !newest.equals(older))
      simulator.fail('I11: an older checkpoint and its blocks give another state')
  } catch (error) {
    // The disk may begin to fail in the middle of this.
    if (!(error instanceof DiskError))
      simulator.fail(`The data left by a crash cannot be replayed: ${String((error as Error).stack)}`, error)
  }
  process.crash({ power: false })
}

/** The state's bytes; undefined when the blocks that this would need are gone. */
async function replay(simulator: Simulator, chain: ChainStore, blobs: BlobStore): Promise<Buffer | undefined> {
  const restore = new Restore({
    cell: 0,
    chain,
    blobs,
    clock: { nowMs: () => 0, monotonicMs: () => 0, after: () => () => {}, soon: () => {} },
    random: simulator.random,
    machines,
    sizes: defaultCellSizes,
    exclusive: false,
    retentionOf: () => undefined,
    onFatal: () => {},
    onFenced: () => {},
    log: () => {},
  })
  const point = await restore.restore()
  let next = point ? point.seq + 1 : 0
  for (const seq of await chain.list(0, next)) {
    if (seq !== next++) return undefined
    const block = readBlock((await chain.get(0, seq))!)
    restore.apply(block!)
  }
  tidyLists(restore.state)
  return restore.digest()
}

/** What of a list is settled may be forgotten or not: leaves of each order what is not, each message by itself. */
function tidyLists(state: CellState): void {
  const lists = state.machine(machineKinds.lists)
  if (!(lists instanceof ListsMachine)) return
  for (let id = 0; id < state.nextMachine; id++) {
    const cursor = state.machine(id)
    const order = cursor instanceof CursorMachine ? lists.lists.get(cursor.stream)?.order : undefined
    if (order) tidyOrder(order, cursor as CursorMachine, state.streams.get((cursor as CursorMachine).stream)!.endOffset)
  }
}

function tidyOrder(order: Order, cursor: CursorMachine, end: number): void {
  const { step } = order.open
  const left: number[] = []
  for (const run of order.runs) {
    const last = Math.min(run.last, end - 1)
    for (let at = run.step === 1 ? run.first : last; at >= run.first && at <= last; at += run.step)
      if (cursor.stateOf(at) !== 'settled') left.push(at)
  }
  const runs = left.map(at => ({ first: at, last: at, step: 1 as const }))
  const open = { first: end, last: Infinity, step }
  order.runs.splice(0, Infinity, ...(step === 1 ? [...runs, open] : [open, ...runs]))
}

function withoutNewestCheckpoint(blobs: BlobStore): BlobStore {
  const list: BlobStore['list'] = async prefix => {
    const found = await blobs.list(prefix)
    if (!prefix.endsWith('/c/')) return found
    const newest = found
      .map(({ name }) => name)
      .sort()
      .at(-1)
    return found.filter(({ name }) => name !== newest)
  }
  return Object.assign(Object.create(blobs) as BlobStore, { list, read: blobs.read.bind(blobs) })
}
