import { bool, bytes32, list, list16, nullableBytes32, string16, struct, u16, uvarint, varlong } from '@dragoman/wire'
import { versioned } from '../versioned.ts'

/**
 * What sessions write to the journal and into checkpoints: a version byte, then the declared struct.
 *
 * On-disk format: to change one, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the
 * older versions. Numbers are never used again for something else.
 */
export const factVersion = 1

export const sessionFacts = {
  /** A session begins, or its client is there again. */
  entered: 1,
  /** Its client has gone. */
  left: 2,
  ended: 3,
  subscribed: 4,
  unsubscribed: 5,
  /** A message of this number was taken from the client, who may send it again. */
  received: 6,
  /** It will not. */
  forgotten: 7,
  /** The client has taken a message of this number, and is to be told that it is known. */
  taken: 8,
  /** It was told. */
  completed: 9,
  /** The will has been published, or is not to be. */
  willSettled: 10,
} as const

/** A message that is published when the client is lost. */
const will = struct({
  /** Milliseconds that the client has to come back. */
  delayMs: varlong,
  exchange: string16,
  key: string16,
  isRetained: bool,
  isTransient: bool,
  /** From its publication on; -1: for ever. */
  ttlMs: varlong,
  value: bytes32,
  headers: list16(struct({ name: string16, value: bytes32 })),
})

const subscription = struct({ filter: string16, options: bytes32 })

export const entered = struct({
  id: uvarint,
  namespace: string16,
  name: string16,
  owner: string16,
  /** Where messages lie that wait for the client. */
  queue: string16,
  /** After its client has gone, it stays so long; -1: for ever. */
  expiryMs: varlong,
  wills: list16(will),
})
export const left = struct({
  id: uvarint,
  /** Milliseconds since 1970. */
  atMs: varlong,
  expiryMs: varlong,
  /** The will is to be published in time. */
  keepsWill: bool,
})
export const ended = struct({ id: uvarint })
export const subscribed = struct({ id: uvarint, filter: string16, options: bytes32 })
export const unsubscribed = struct({ id: uvarint, filter: string16 })
export const numbered = struct({ id: uvarint, number: u16 })
export const willSettled = struct({ id: uvarint })

export const saved = struct({
  entered,
  /** -1: its client is there. */
  leftMs: varlong,
  subscriptions: list(subscription),
  received: nullableBytes32,
  taken: nullableBytes32,
})

export const { factOf, readFact, checkVersion } = versioned('Sessions', factVersion)
