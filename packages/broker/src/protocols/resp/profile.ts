import type { Access } from '../../core/identity/authorizer.ts'

/** What is known of a connection, besides what it is doing. */
export interface Profile {
  name: string
  libraryName: string
  libraryVersion: string
  user: string
  /** Undefined: they have to say who they are first. */
  access: Access | undefined
  readonly connectedMs: number
  /** Monotonic. */
  activeMs: number
  lastCommand: string
  commandCount: number
}
