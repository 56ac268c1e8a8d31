import * as fs from 'node:fs/promises'
import type { Descriptors } from '../runtime.ts'

/** As Linux tells it; undefined elsewhere. Node has raised the limit to the greatest that it may have. */
export async function descriptorsOfProcess(): Promise<Descriptors | undefined> {
  try {
    const [open, limits] = await Promise.all([fs.readdir('/proc/self/fd'), fs.readFile('/proc/self/limits', 'utf8')])
    const max = /^Max open files +(\d+)/m.exec(limits)?.[1]
    return max === undefined ? undefined : { open: open.length, max: Number(max) }
  } catch {
    return undefined
  }
}
