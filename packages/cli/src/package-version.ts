import { readFileSync } from 'node:fs'

const content: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

/** The version of this release. */
export const packageVersion =
  typeof content === 'object' && content !== null && 'version' in content ? String(content.version) : ''
