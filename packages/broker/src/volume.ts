import type { Volume } from './core/broker.ts'
import type { Disk } from './runtime/runtime.ts'

/** The place that option `data` names. */
export function volumeOf(data: string, disk: Disk): Volume {
  if (data === 'memory') return { name: data, space: () => Promise.resolve(undefined) }
  return {
    name: data,
    async space() {
      const [totalBytes, freeBytes] = await Promise.all([disk.totalBytes(data), disk.freeBytes(data)])
      return { totalBytes, freeBytes }
    },
  }
}
