import assert from 'node:assert/strict'
import { f64, list, nullableString16, Reader, struct, u8, Writer, type Infer } from '@dragoman/wire'

/**
 * What the quotas write into the journal and into checkpoints: a version byte, then the declared struct. On-disk format: to
 * change it, raise `factVersion`, declare the difference with `since` or `until`, and keep reading the older versions.
 */
export const factVersion = 1

export const quotaFacts = { configured: 1 } as const

/** The complete set of an entity's quotas: none removes it. `part` is an index of `entityParts`, `key` an id of `quotaKeys`. */
export const configured = struct({
  entity: list(struct({ part: u8, name: nullableString16 })),
  values: list(struct({ key: u8, value: f64 })),
})
export type Configured = Infer<typeof configured>

export function factOf(value: Configured): Buffer {
  const out = new Writer()
  out.u8(factVersion)
  configured.write(out, value, factVersion)
  return out.take()
}

export function readFact(payload: Buffer): Configured {
  const reader = new Reader(payload)
  const value = configured.read(reader, checkVersion(reader.u8()))
  reader.expectEnd()
  return value
}

/** Throws when the version is one that is not known yet. */
export function checkVersion(version: number): number {
  assert(version >= 1 && version <= factVersion, `The quotas were written by a newer version (${version})`)
  return version
}
