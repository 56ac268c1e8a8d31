import { StorageFull } from '../cell/cell.ts'
import type { Ledger } from '../cell/machine.ts'
import { Fenced } from '../storage/errors.ts'
import { BrokerError } from './errors.ts'

/** The disk is full: what adds is refused. */
export const storageFull = (): BrokerError =>
  new BrokerError('storage-full', 'nothing can be added until there is room')

/** What the cell refuses, in the words of the core. */
function asRefusal(error: unknown): unknown {
  if (error instanceof Fenced) return new BrokerError('shutting-down', 'the change may or may not have been made')
  if (error instanceof StorageFull) return storageFull()
  return error
}

/** Like `Ledger.atomic`. Throws `BrokerError` for what the cell refuses. */
export function atomically(ledger: Ledger, run: () => void): number {
  try {
    return ledger.atomic(run)
  } catch (error) {
    throw asRefusal(error)
  }
}

/** Like `Ledger.durable`. Rejects with `BrokerError` when the cell ends before. */
export const durably = (ledger: Ledger, seq: number): Promise<void> => orRefused(ledger.durable(seq))

/** The same result. Rejects with `BrokerError` for what the cell refuses. */
export async function orRefused<T>(result: Promise<T>): Promise<T> {
  try {
    return await result
  } catch (error) {
    throw asRefusal(error)
  }
}

/** For what nobody calls who could be told: when the cell has stopped, nothing is taken any more. */
export function unlessFenced(run: () => void): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof Fenced)) throw error
  }
}

/** The same for what is done another time when it is refused: on a full disk, or when the broker stops. */
export function unlessRefused(run: () => void): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
  }
}
