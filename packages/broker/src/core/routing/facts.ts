import { bytes32, list, string16, struct, u8 } from '@dragoman/wire'

/** What the directory writes of exchanges and bindings: see `factVersion` in `directory.ts` before changing anything. */

/** Bits of `flags`. */
export const exchangeFlags = { autoDelete: 1, internal: 2, used: 4 } as const

export const exchangeDeclared = struct({
  namespace: string16,
  name: string16,
  /** Index in `exchangeKinds`. */
  kind: u8,
  flags: u8,
  config: list(struct({ name: string16, value: string16 })),
})
/** Bindings from it and to it go with it. */
export const exchangeDeleted = struct({ namespace: string16, name: string16 })
/** It is to go with its last binding, and something was bound that a restart leaves nothing of. */
export const exchangeUsed = struct({ namespace: string16, name: string16 })

/** Also of `unbound`. */
export const bound = struct({
  namespace: string16,
  source: string16,
  /** Index in `placeKinds`. */
  kind: u8,
  destination: string16,
  key: string16,
  /** As `encodeArguments` writes them. */
  arguments: bytes32,
})
