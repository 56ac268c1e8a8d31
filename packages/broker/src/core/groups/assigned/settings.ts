/** How one assigned group behaves now. */
export interface AssignedSettings {
  /** Without a sign of life for this long, a member is removed. */
  readonly sessionTimeoutMs: number
  /** How often members are asked to give one. */
  readonly heartbeatIntervalMs: number
}
