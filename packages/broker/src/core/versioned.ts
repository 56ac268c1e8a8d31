import { Reader, Writer, type Codec } from '@dragoman/wire'

/** How a machine writes its facts: a version byte, then the declared struct in that version. */
export interface FactForm {
  /** The payload of a fact. */
  readonly factOf: <T, W>(codec: Codec<T, W>, value: W) => Buffer
  /** Throws when the version is one that is not known yet, or when bytes are left. */
  readonly readFact: <T, W>(codec: Codec<T, W>, payload: Buffer) => T
  /** The version, of facts unless `newest` is that of something else. Throws when it is one that is not known yet. */
  readonly checkVersion: (version: number, newest?: number) => number
}

/** Cuts one fact after the other. */
const writer = new Writer()

/** `what` names the machine in errors; `factVersion` is what is written today, and the newest that can be read. */
export function versioned(what: string, factVersion: number): FactForm {
  const checkVersion = (version: number, newest = factVersion): number => {
    if (version >= 1 && version <= newest) return version
    throw new Error(`${what} cannot be read in version ${version}: this data was written by a newer broker`)
  }
  return {
    checkVersion,
    factOf(codec, value) {
      const out = writer
      // What a fact that could not be written has left behind.
      if (out.length > 0) out.take()
      out.u8(factVersion)
      codec.write(out, value, factVersion)
      return out.take()
    },
    readFact(codec, payload) {
      const reader = new Reader(payload)
      const value = codec.read(reader, checkVersion(reader.u8()))
      reader.expectEnd()
      return value
    },
  }
}
