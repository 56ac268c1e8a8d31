import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dragomanIsThere, repository, startDragoman } from '../../test/support/dragoman.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'

/** Ours, as `dragoman serve` of this tree, with the one listener that is asked for. */
export const dragoman: Peer = {
  name: 'dragoman',
  title(durability: Durability): string {
    const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as { version: string }
    return `Dragoman ${version}, Node ${process.versions.node} (${durability})`
  },
  missing: () => (dragomanIsThere ? undefined : 'packages/cli/src/dragoman.js is not there'),
  async start({ directory, durability, protocol = 'kafka' }: PeerOptions): Promise<Running> {
    if (durability === 'memory') return startDragoman({ data: 'memory', protocol })
    return startDragoman({ data: directory, durability, protocol })
  },
}

/** Ours with every listener, as it starts when nothing is said. `main` is the command of a build; else that of the sources. */
export const wholeDragoman = (main?: string): Peer => ({
  ...dragoman,
  name: main === undefined ? 'dragoman, from the sources' : 'dragoman, as published',
  start({ directory, durability }: PeerOptions): Promise<Running> {
    const options = durability === 'memory' ? { data: 'memory' } : { data: directory, durability }
    return startDragoman({ ...options, protocol: 'all', ...(main === undefined ? {} : { main }) })
  },
})
