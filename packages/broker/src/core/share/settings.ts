/** How a share group behaves. */
export interface ShareSettings {
  /** How long a member keeps a record that it has taken before others get it. */
  readonly lockDurationMs: number
  /** Deliveries after which a record that was not accepted is given up. */
  readonly deliveryLimit: number
  /** Where a group begins in a partition that it has not seen yet; a number stands for so many milliseconds ago. */
  readonly start: 'earliest' | 'latest' | number
  /** Whether records of open and aborted transactions are left out. */
  readonly committed: boolean
}

export const defaultShareSettings: ShareSettings = {
  lockDurationMs: 30_000,
  deliveryLimit: 5,
  start: 'latest',
  committed: false,
}
