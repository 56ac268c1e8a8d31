import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dragomanIsThere, repository, startDragoman } from '../../test/support/dragoman.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'

/** Ours, as `dragoman serve` of this tree. */
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
