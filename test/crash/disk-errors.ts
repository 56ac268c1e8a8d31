import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Random } from '@dragoman/wire'
import { startBroker, type RunningBroker } from '../../packages/broker/src/index.ts'
import { batchBytes, batchHeaderBytes, readRecords } from '../../packages/broker/src/storage/record-batch.ts'
import { verifyData } from '../../packages/broker/src/verify.ts'

export interface DiskErrorOptions {
  rounds: number
  seed: number
  log: (text: string) => void
}

export interface DiskErrorSummary {
  rounds: number
  acknowledged: number
  /** Brokers that ended by themselves, did not start, or went on. */
  ended: number
  refused: number
  wentOn: number
}

/** Calls of the system that fail, how, and among how many of them the first one that does is chosen. */
const faults = [
  ['pwritev', 'EIO', 150],
  ['pwritev', 'ENOSPC', 150],
  ['pwrite64', 'EIO', 60],
  ['pwrite64', 'ENOSPC', 60],
  ['fdatasync', 'EIO', 40],
  ['fdatasync', 'ENOSPC', 40],
  ['fsync', 'EIO', 40],
  ['openat', 'EIO', 100],
  ['openat', 'EMFILE', 100],
  ['rename', 'EIO', 20],
  ['rename', 'ENOSPC', 20],
  ['unlink', 'EIO', 40],
  ['pread64', 'EIO', 100],
  ['getdents64', 'EIO', 12],
  ['statfs', 'EIO', 20],
  ['close', 'EIO', 60],
] as const

const liveMs = 1200
const program = join(import.meta.dirname, 'disk-errors-process.ts')

/** What is needed and absent, in words. */
export const missingForDiskErrors = (): string | undefined =>
  spawnSync('strace', ['-V']).error ? 'strace is not installed' : undefined

/**
 * Lets one call of the system after the other fail under a broker that writes, kills it, and looks on the sound disk whether every record that it
 * has called durable is there, and whether `verify` finds the directory sound.
 */
export async function diskErrorCampaign({ rounds, seed, log }: DiskErrorOptions): Promise<DiskErrorSummary> {
  const random = new Random(seed)
  const summary = { rounds, acknowledged: 0, ended: 0, refused: 0, wentOn: 0 }
  for (let round = 0; round < rounds; round++) {
    const [call, error, among] = faults[random.below(faults.length)]!
    const inject = `${call}:error=${error}:when=${1 + random.below(among)}${random.chance(0.2) ? '+7' : ''}`
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-disk-'))
    try {
      const durable = new Map<string, string>()
      await live(directory, 'sound', undefined, durable)
      const end = await live(directory, 'faulty', inject, durable)
      const { findings } = await verifyData(directory)
      assert.deepEqual(
        findings.filter(({ level }) => level === 'damage'),
        [],
        `verify after ${inject}`,
      )
      await check(directory, durable, inject)
      summary.acknowledged += durable.size
      summary[end]++
      log(`${inject}: ${end}, ${durable.size} records are there`)
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  return summary
}

/** Runs a broker for a while, or until it ends, and remembers what it calls durable. */
async function live(
  directory: string,
  label: string,
  inject: string | undefined,
  durable: Map<string, string>,
): Promise<'ended' | 'refused' | 'wentOn'> {
  const traced = inject === undefined ? [] : ['-f', '-qq', '-o', '/dev/null', '-e', `inject=${inject}`]
  const [command, ...args] = [...(inject === undefined ? [] : ['strace', ...traced]), process.execPath, program]
  // With one thread for the disk, the calls are counted in one order.
  const child = spawn(command!, [...args, directory, label], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
  })
  const isClosed = new Promise<'closed'>(resolve => child.on('close', () => resolve('closed')))
  const ready = Promise.withResolvers<number>()
  createInterface({ input: child.stdout }).on('line', line => {
    const [first = '', offset = '', ...stamp] = line.split(' ')
    if (first === 'ready') ready.resolve(Number(offset))
    else durable.set(`${first} ${offset}`, stamp.join(' '))
  })
  const pid = await Promise.race([ready.promise, isClosed])
  if (pid === 'closed') return 'refused'
  const timer = setTimeout(() => process.kill(pid, 'SIGKILL'), liveMs)
  await isClosed
  clearTimeout(timer)
  return child.exitCode === null || child.signalCode !== null ? 'wentOn' : 'ended'
}

async function check(directory: string, durable: ReadonlyMap<string, string>, inject: string): Promise<void> {
  const broker = await startBroker({ data: directory })
  try {
    const partitions = broker.core.topics.get('/', 'log')?.partitions ?? []
    for (const [partition, stream] of partitions.entries()) {
      const { startOffset, stamps } = await readAll(broker, stream)
      for (const [place, stamp] of durable) {
        const [of, offset] = place.split(' ').map(Number)
        if (of !== partition || offset! < startOffset) continue
        assert.equal(stamps.get(offset!), stamp, `partition ${partition} offset ${offset} after ${inject}`)
      }
    }
    assert(partitions.length > 0 || durable.size === 0, `all is gone after ${inject}`)
  } finally {
    await broker.close()
  }
}

async function readAll(
  { core: { cell } }: RunningBroker,
  stream: number,
): Promise<{ startOffset: number; stamps: Map<number, string> }> {
  const { startOffset, endOffset } = cell.bounds(stream)!
  const stamps = new Map<number, string>()
  for (let offset = startOffset; offset < endOffset;) {
    const before = offset
    await new Promise<void>(resolve => {
      const streams = [{ stream, offset, maxBytes: 1 << 20 }]
      cell.fetch({ streams, minBytes: 0, maxBytes: 1 << 20, maxWaitMs: 0 }, result => {
        for (const bytes of result.streams[0]!.batches) {
          for (let at = 0; at < bytes.length; at += batchBytes(bytes, at)) {
            const batch = bytes.subarray(at, at + batchBytes(bytes, at))
            for (const record of readRecords(batch, batch.subarray(batchHeaderBytes))) {
              const text = String(record.value)
              stamps.set(record.offset, `${text.split(' ', 2).join(' ')} ${text.length}`)
              offset = record.offset + 1
            }
          }
        }
        result.release()
        resolve()
      })
    })
    assert(offset > before, `stream ${stream} cannot be read at ${before}`)
  }
  return { startOffset, stamps }
}
