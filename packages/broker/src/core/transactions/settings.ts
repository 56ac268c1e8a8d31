/** How transactions behave. Each is an option. */
export interface TransactionSettings {
  /** Longest time-out that a producer may choose. */
  readonly timeoutMaxMs: number
  /** A transactional id that nobody has used for so long is forgotten. */
  readonly idExpirationMs: number
  /** How often transactional ids are looked through for what may be forgotten. */
  readonly sweepIntervalMs: number
  /**
   * Refuse what comes over a connection that its producer has replaced, when nothing else would tell to which transaction it
   * belongs. Off for producers that use several connections for the same kind of request.
   */
  readonly strictConnections: boolean
  /** Longest transactional id. */
  readonly idLengthMax: number
}

export const defaultTransactionSettings: TransactionSettings = {
  timeoutMaxMs: 15 * 60_000,
  idExpirationMs: 7 * 24 * 3_600_000,
  sweepIntervalMs: 600_000,
  strictConnections: true,
  idLengthMax: 4096,
}
