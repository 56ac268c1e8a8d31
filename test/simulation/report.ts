/** What one run did. */
export interface Report {
  operations: number
  events: number
  crashes: number
  takeovers: number
  acknowledged: number
  traceHash: string
}

export interface Scenario {
  /** Rejects with `Violation` when a checker found something. */
  run(seed: number, onTrace?: (lines: string[]) => void): Promise<Report>
}
