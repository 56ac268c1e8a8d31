import * as fs from 'node:fs'
import * as path from 'node:path'
import * as zlib from 'node:zlib'
import { Random } from '@dragoman/wire'
import { ManualClock } from '../../packages/broker/src/cell/testing/cells.ts'
import { startBroker, type RunningBroker } from '../../packages/broker/src/index.ts'
import { realRuntime } from '../../packages/broker/src/runtime/real/real-runtime.ts'

/** A year that no test will see: only the clock that is handed in says what time it is. */
const beganMs = 1_800_000_000_000
const hour = 3600 * 1000

/** Stands still until it is moved. */
export class FixtureClock extends ManualClock {
  override nowMs(): number {
    return beganMs + super.nowMs()
  }
}

const archiveOf = (name: string): string => path.join(import.meta.dirname, `${name}.json.gz`)

/** Keeps a directory as one small file: its files by name, in base64. */
export function pack(directory: string, to: string, isWanted: (name: string) => boolean): void {
  const names = fs.readdirSync(directory, { recursive: true }).map(String).sort()
  const files = names.filter(name => isWanted(name) && fs.statSync(path.join(directory, name)).isFile())
  const content = files.map(name => [name, fs.readFileSync(path.join(directory, name), 'base64')])
  fs.writeFileSync(archiveOf(to), zlib.gzipSync(JSON.stringify(Object.fromEntries(content)), { level: 9 }))
}

export function unpack(from: string, directory: string): void {
  const content: unknown = JSON.parse(zlib.gunzipSync(fs.readFileSync(archiveOf(from))).toString())
  for (const [name, bytes] of Object.entries(content as Record<string, string>)) {
    const target = path.join(directory, name)
    fs.mkdirSync(path.dirname(target), { recursive: true })
    fs.writeFileSync(target, bytes, 'base64')
  }
}

/**
 * A broker over a directory of a fixture, without listeners. Sizes are small, so that a few kilobytes have every form that data can
 * have; each start has a seed of its own; limits of time are long, so that members and transactions outlive the hours that the story takes.
 */
export function openFixture(data: string, clock: FixtureClock, seed: number): Promise<RunningBroker> {
  return startBroker(
    {
      data,
      durability: 'os',
      reserveBytes: 0,
      groupJoinDelayMs: 0,
      groupSessionTimeoutMaxMs: 24 * hour,
      groupAssignedSessionTimeoutMs: 24 * hour,
      groupAssignedSessionTimeoutMaxMs: 24 * hour,
      transactionTimeoutMaxMs: 24 * hour,
      transactionalIdExpirationMs: hour,
    },
    {
      runtime: { ...realRuntime(), clock, random: new Random(seed) },
      writeLog: () => {},
      journalFileBytes: 1024 * 1024,
      sizes: {
        largeBatchBytes: 2048,
        producerIdleMs: hour,
        slabBytes: 64 * 1024,
        blockBytesMax: 32 * 1024,
        delayed: { recentMax: 8, recentOfAllMax: 20, blockEntriesMax: 3 },
      },
    },
  )
}

/** So long that idle producers and transactional ids are forgotten. */
export const longMs = 2 * hour
