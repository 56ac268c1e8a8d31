import type { Journal } from '../storage/journal.ts'
import type { CellOptions } from './options.ts'
import type { CellState } from './state.ts'

/** What those who look after a cell in the background (checkpoints, rewriting, retention) may use of it. `Cell` is one. */
export interface CellCore {
  readonly options: CellOptions
  readonly state: CellState
  readonly journal: Journal
  readonly epoch: number
  readonly clock: CellOptions['clock']
  readonly full: boolean
  fact(machine: number, type: number, payload: Uint8Array): number
  /** Something was written or flushed. */
  relieve(): void
  /** Something has failed that cannot be survived. */
  fail(error: Error): void
}
