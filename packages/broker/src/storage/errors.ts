/**
 * Stored bytes are not what was written, in a place where a crash cannot be the cause. Never skipped silently: the cell does
 * not start, or the range is refused. `dragoman verify` explains it.
 */
export class Corrupt extends Error {
  override name = 'Corrupt'
}

/** Another owner has taken the cell: nothing that this one does can have an effect any more. */
export class Fenced extends Error {
  override name = 'Fenced'
}
