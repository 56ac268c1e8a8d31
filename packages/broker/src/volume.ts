import type { Cell } from './cell/cell.ts'
import type { Volume } from './core/broker.ts'
import type { Runtime } from './runtime/runtime.ts'
import type { RoomWatch } from './storage/room-watch.ts'

/** The place that option `data` names, and the cell that keeps its data there. */
export function volumeOf(data: string, runtime: Runtime, cell: Cell, reserveBytes: number, room: RoomWatch): Volume {
  return {
    name: data,
    reserveBytes,
    get isFull() {
      return cell.full
    },
    get shortage() {
      return cell.full ? (room.shortage ?? 'space') : undefined
    },
    journal() {
      const { lastSeq, pendingBytes, keptBytes } = cell.journal
      return { lastSeq, pendingBytes, keptBytes }
    },
    async descriptors() {
      return runtime.descriptors?.()
    },
    async space() {
      if (data === 'memory') return undefined
      const [totalBytes, freeBytes] = await Promise.all([runtime.disk.totalBytes(data), runtime.disk.freeBytes(data)])
      return { totalBytes, freeBytes }
    },
  }
}
