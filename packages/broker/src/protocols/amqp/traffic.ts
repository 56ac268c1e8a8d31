/** What has gone over one connection, in both directions. */
export class Traffic {
  receivedBytes = 0
  receivedPackets = 0
  sentBytes = 0
  /** Writes: each is one frame, or several that belong together. */
  sentPackets = 0
}
