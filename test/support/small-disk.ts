import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A small file system of its own: mounting one takes root, and Linux. */
export function mountDisk(megabytes: number): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-full-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory])
  if (mounted.status === 0) return directory
  rmSync(directory, { recursive: true })
  return undefined
}

/** Takes all space that is left but about `leave` bytes. */
export function fillDisk(path: string, leave: number): void {
  const file = openSync(path, 'w')
  const chunk = Buffer.alloc(64 * 1024)
  let written = 0
  try {
    for (;;) written += writeSync(file, chunk)
  } catch {
    // The disk is full: that is what was wanted.
  }
  closeSync(file)
  spawnSync('truncate', ['-s', String(Math.max(0, written - leave)), path])
}

export function unmountDisk(path: string): void {
  spawnSync('umount', ['-l', path])
  rmSync(path, { recursive: true, force: true })
}
