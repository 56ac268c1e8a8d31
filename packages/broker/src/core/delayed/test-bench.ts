import assert from 'node:assert/strict'
import { Random } from '@dragoman/wire'
import { abandon, ManualClock, openCell, type Stores, type TestCell, turns } from '../../cell/testing/cells.ts'
import { Cursors } from '../cursor/cursors.ts'
import { CursorMachine } from '../cursor/machine.ts'
import { DirectoryMachine } from '../directory.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { Queues } from '../queues/queues.ts'
import { Router } from '../routing/router.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { Topics } from '../topics.ts'
import { Delayed } from './delayed.ts'
import { DelayedMachine } from './machine.ts'
import { Schedules } from './schedules.ts'
import type { Later } from './stored.ts'
import type { DelayedId, DelayedSizes } from './volumes.ts'

/** A wall clock that can be set, besides time that passes when the test says so. */
export class WallClock extends ManualClock {
  /** By how much the wall clock was set forward. */
  aheadMs = 0

  override nowMs(): number {
    return super.nowMs() + this.aheadMs
  }
}

export interface DelayedNode extends TestCell {
  topics: Topics
  queues: Queues
  router: Router
  delayed: Delayed
  schedules: Schedules
  clock: WallClock
  /** What was logged by what waits. */
  told: string[]
  /** As a process that is killed would; what was taken becomes durable. */
  kill(): Promise<void>
  /** The same, and what is not durable yet is lost. */
  cut(): Promise<void>
  close(): Promise<void>
}

let starts = 0

export async function startDelayed(
  stores: Stores,
  clock = new WallClock(),
  { sizes, ...more }: Partial<Limits> & { sizes?: DelayedSizes } = {},
): Promise<DelayedNode> {
  const machines = {
    directory: () => new DirectoryMachine(),
    cursor: () => new CursorMachine(),
    delayed: () => new DelayedMachine(),
  }
  const cell = await openCell(stores, { clock, machines })
  const limits = { ...defaultLimits, ...more }
  // Ids must not come again after a restart.
  const random = new Random(++starts)
  const topics = await Topics.open(cell.cell, { limits, random })
  const wheel = new TimerWheel(clock)
  const cursors = new Cursors(cell.cell, wheel)
  const soon = (run: () => void): void => clock.soon(run)
  const log = (level: string, message: string): void => assert.fail(`${level} ${message}`)
  const base = { ledger: cell.cell, cell: cell.client, limits }
  const queues = new Queues({ ...base, cursors, wheel, random, soon, log })
  const router = new Router({ ...base, topics, queues })
  const told: string[] = []
  const tell = (level: string, message: string): void => void told.push(`${level} ${message}`)
  const delayed = new Delayed({ ...base, router, pressure: cell.cell, sizes, soon, log: tell })
  const schedules = new Schedules({ ...base, router })
  const stop = (): void => {
    schedules.close()
    delayed.close()
    queues.close()
    cursors.close()
  }
  const kill = (): Promise<void> => {
    stop()
    return abandon(cell)
  }
  const cut = (): Promise<void> => {
    cell.cell.journal.abandon()
    return kill()
  }
  const close = async (): Promise<void> => {
    stop()
    await cell.cell.close()
  }
  return { ...cell, topics, queues, router, delayed, schedules, clock, told, kill, cut, close }
}

export const later = (exchange: string, key: string, text: string, more: Partial<Later> = {}): Later => {
  return { namespace: '/', exchange, key, message: { value: Buffer.from(text) }, ...more }
}

/** Hands a message in and expects it to be taken. */
export async function wait({ delayed }: DelayedNode, what: Later, delayMs: number): Promise<DelayedId> {
  const { id, error } = await new Promise<{ id: DelayedId; error?: unknown }>(resolve =>
    delayed.publish(what, delayMs, resolve),
  )
  assert.equal(error, undefined)
  return id
}

/** What is in a queue. */
export async function texts({ queues }: DelayedNode, name: string): Promise<string[]> {
  await turns()
  const found = await queues.get('/', name)?.browse(0, 1_000_000)
  return (found ?? []).map(({ value }) => String(value))
}
