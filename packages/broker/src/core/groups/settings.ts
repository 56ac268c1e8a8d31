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
  /** Where the broker assigns: without a sign of life for this long a member is removed, unless its group says otherwise. */
  readonly assignedSessionTimeoutMs: number
  readonly assignedSessionTimeoutMinMs: number
  readonly assignedSessionTimeoutMaxMs: number
  /** Where the broker assigns: how often members are asked for a sign of life, unless their group says otherwise. */
  readonly heartbeatIntervalMs: number
  readonly heartbeatIntervalMinMs: number
  readonly heartbeatIntervalMaxMs: number
  /** In shared groups: how long a member keeps a record that it has taken before others get it, unless its group says otherwise. */
  readonly shareLockDurationMs: number
  /** In shared groups: deliveries after which a record is given up, unless its group says otherwise; 0: never. */
  readonly shareDeliveryLimit: number
  readonly migration: GroupMigration
}

/**
 * Whether a group with members may change its kind: `upgrade` when a member comes that is assigned to by the broker,
 * `downgrade` when the last such member goes, `bidirectional` both, `disabled` neither.
 */
export const groupMigrations = ['bidirectional', 'upgrade', 'downgrade', 'disabled'] as const
export type GroupMigration = (typeof groupMigrations)[number]

export const defaultGroupSettings: GroupSettings = {
  initialRebalanceDelayMs: 100,
  sessionTimeoutMinMs: 6_000,
  sessionTimeoutMaxMs: 1_800_000,
  newMemberJoinTimeoutMs: 300_000,
  offsetsRetentionMs: 7 * 24 * 3_600_000,
  sweepIntervalMs: 600_000,
  groupBytesMax: 4 * 1024 * 1024,
  groupIdLengthMax: 4096,
  assignedSessionTimeoutMs: 45_000,
  assignedSessionTimeoutMinMs: 45_000,
  assignedSessionTimeoutMaxMs: 60_000,
  heartbeatIntervalMs: 5_000,
  heartbeatIntervalMinMs: 5_000,
  heartbeatIntervalMaxMs: 15_000,
  shareLockDurationMs: 30_000,
  shareDeliveryLimit: 5,
  migration: 'bidirectional',
}
