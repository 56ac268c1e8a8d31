import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const sampleFile = join(import.meta.dirname, '..', 'packages.sample.txt')

/** The paragraphs of apt's list of packages, or of the sample beside this file where there is no apt. */
export function readParagraphs(sample: boolean, limit: number): { paragraphs: string[]; source: string } {
  const apt = !sample && spawnSync('apt-cache', ['--version']).status === 0
  const text = apt
    ? execFileSync('apt-cache', ['dumpavail'], { encoding: 'utf8', maxBuffer: 1 << 30 })
    : readFileSync(sampleFile, 'utf8')
  const paragraphs = text.split(/\n{2,}/).filter(paragraph => paragraph.startsWith('Package: '))
  // A machine whose lists were never fetched has apt and no packages.
  if (apt && paragraphs.length === 0) return readParagraphs(true, limit)
  return { paragraphs: paragraphs.slice(0, limit), source: apt ? 'apt-cache dumpavail' : 'packages.sample.txt' }
}

/** The package's name. */
export function keyOf(paragraph: string): string {
  return /^Package: (\S+)/.exec(paragraph)?.[1] ?? ''
}
