import { DiskError, type DiskErrorCode } from '../runtime.ts'

const codes: Record<string, DiskErrorCode> = {
  ENOENT: 'not-found',
  EEXIST: 'exists',
  ENOTEMPTY: 'exists',
  ENOSPC: 'full',
  EDQUOT: 'full',
  // No descriptors left: like space, they come back.
  EMFILE: 'full',
  ENFILE: 'full',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
}

/** What is not in the table (EIO, ENOTDIR, …) counts as `io`: nothing can be concluded from it. */
export function diskError(error: NodeJS.ErrnoException, failure: string): DiskError {
  return new DiskError(codes[error.code ?? ''] ?? 'io', `${failure}: ${error.message}`, { cause: error })
}
