/** How groups behave. Each is an option. */
export interface GroupSettings {
  /**
   * How long the first rebalance of an empty group waits for more members; each newcomer extends it by the same time, up to
   * the members' own rebalance time-out.
   */
  readonly initialRebalanceDelayMs: number
  /** Bounds of what members may choose as their session time-out. */
  readonly sessionTimeoutMinMs: number
  readonly sessionTimeoutMaxMs: number
  /** How long a member that does not know its id yet may wait in its first join. */
  readonly newMemberJoinTimeoutMs: number
  /** How long offsets outlive the last member; offsets of a group without members count from their commit. */
  readonly offsetsRetentionMs: number
  /** How often offsets are looked through for what may go. */
  readonly sweepIntervalMs: number
  /** Bytes that all members of a group together may say of themselves and be assigned. */
  readonly groupBytesMax: number
  /** Longest name of a group. */
  readonly groupIdLengthMax: number
}

export const defaultGroupSettings: GroupSettings = {
  initialRebalanceDelayMs: 100,
  sessionTimeoutMinMs: 6_000,
  sessionTimeoutMaxMs: 1_800_000,
  newMemberJoinTimeoutMs: 300_000,
  offsetsRetentionMs: 7 * 24 * 3_600_000,
  sweepIntervalMs: 600_000,
  groupBytesMax: 4 * 1024 * 1024,
  groupIdLengthMax: 4096,
}
