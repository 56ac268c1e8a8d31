import type { ServerProcess } from '../../test/support/server-process.ts'

/** How sure an acknowledgement is: `fsync` is on the disk, `os` is in the page cache, `memory` is neither. */
export type Durability = 'fsync' | 'os' | 'memory'

export type Protocol = 'kafka' | 'amqp' | 'beanstalk' | 'stomp' | 'resp' | 'mqtt'

export interface PeerOptions {
  /** Kept when it exists already: that is how a restart is measured. */
  directory: string
  durability: Durability
  /** The protocol to speak, for a peer that speaks several. */
  protocol?: Protocol
}

export interface Running {
  process: ServerProcess
  port: number
  address: string
}

/** A broker under measurement: ours or another's. */
export interface Peer {
  name: string
  /** The name with its version, and the settings that matter, for the table. */
  title(durability: Durability): string
  /** Why this machine cannot run it, or undefined. */
  missing(): string | undefined
  /** Starts it on loopback and resolves when it answers. */
  start(options: PeerOptions): Promise<Running>
}
