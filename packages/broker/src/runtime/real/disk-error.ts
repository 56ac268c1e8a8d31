import { DiskError, type DiskErrorCode } from '../runtime.ts'

const codes: Record<string, DiskErrorCode> = {
  ENOENT: 'not-found',
  EEXIST: 'exists',
  ENOTEMPTY: 'exists',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
}

/** What is not in the table (EIO, ENOTDIR, EMFILE, …) counts as `io`: nothing can be concluded from it. */
export function diskError(error: NodeJS.ErrnoException, failure: string): DiskError {
  return new DiskError(codes[error.code ?? ''] ?? 'io', `${failure}: ${error.message}`, { cause: error })
}
