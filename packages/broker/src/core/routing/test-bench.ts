import assert from 'node:assert/strict'
import { Random } from '@dragoman/wire'
import { abandon, ManualClock, openCell, type Stores, type TestCell } from '../../cell/testing/cells.ts'
import { Cursors } from '../cursor/cursors.ts'
import { CursorMachine } from '../cursor/machine.ts'
import { DirectoryMachine } from '../directory.ts'
import { defaultLimits, type Limits } from '../limits.ts'
import { PoliciesMachine } from '../policies/machine.ts'
import { Policies } from '../policies/policies.ts'
import { Queues } from '../queues/queues.ts'
import { TimerWheel } from '../timers/wheel.ts'
import { Topics } from '../topics.ts'
import type { PublishOutcome } from './publisher.ts'
import { Router } from './router.ts'

export interface RouterNode extends TestCell {
  topics: Topics
  policies: Policies
  queues: Queues
  router: Router
  clock: ManualClock
  /** As a process that is killed would. */
  kill(): Promise<void>
  close(): Promise<void>
}

let starts = 0

/** A cell with topics, queues and a router, as the broker has them. */
export async function startRouter(
  stores: Stores,
  more: Partial<Limits> = {},
  clock = new ManualClock(),
  log: (level: string, message: string) => void = (level, message) => assert.fail(`${level} ${message}`),
): Promise<RouterNode> {
  const machines = {
    directory: () => new DirectoryMachine(),
    policies: () => new PoliciesMachine(),
    cursor: () => new CursorMachine(),
  }
  const cell = await openCell(stores, { clock, machines })
  const limits = { ...defaultLimits, ...more }
  // Ids must not come again after a restart.
  const random = new Random(++starts)
  const topics = await Topics.open(cell.cell, { limits, random })
  const wheel = new TimerWheel(clock)
  const cursors = new Cursors(cell.cell, wheel)
  const soon = (run: () => void): void => clock.soon(run)
  const base = { ledger: cell.cell, cell: cell.client, limits }
  const policies = new Policies(base)
  const queues = new Queues({ ...base, policies, cursors, wheel, random, soon, log })
  const router = new Router({ ...base, policies, topics, queues })
  const stop = (): void => {
    queues.close()
    cursors.close()
  }
  const kill = (): Promise<void> => {
    stop()
    return abandon(cell)
  }
  const close = async (): Promise<void> => {
    stop()
    await cell.cell.close()
  }
  return { ...cell, topics, policies, queues, router, clock, kill, close }
}

export function publish(node: RouterNode, exchange: string, key: string, text = ''): Promise<PublishOutcome> {
  const message = { value: Buffer.from(text) }
  return new Promise(resolve => node.router.publish({ namespace: '/', exchange, key, message }, resolve))
}
