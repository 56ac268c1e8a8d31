import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { ServerProcess } from '../../test/support/server-process.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'
import { freePorts } from './ports.ts'

const policies = { fsync: 'appendfsync always', os: 'appendfsync everysec', memory: 'no file' } as const

/** Debian's Redis with an append-only file, and without snapshots. */
export const redis: Peer = {
  name: 'redis',
  title: (durability: Durability) => `Redis ${version()} (${policies[durability]})`,
  missing: () => (version() === '' ? 'no Redis on this machine (apt install redis-server)' : undefined),
  async start({ directory, durability }: PeerOptions): Promise<Running> {
    mkdirSync(directory, { recursive: true })
    const [port] = await freePorts(1)
    if (port === undefined) throw new Error('No free port on loopback')
    const file = durability === 'memory' ? ['--appendonly', 'no'] : ['--appendonly', 'yes']
    const sync = durability === 'fsync' ? 'always' : 'everysec'
    // A rewrite of the file in the middle of a run would be in its way.
    const still = ['--save', '', '--auto-aof-rewrite-percentage', '0']
    const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
    const started = await ServerProcess.start({
      command: 'redis-server',
      args: [...place, ...still, ...file, '--appendfsync', sync],
      isReady: line => line.includes('Ready to accept connections'),
    })
    return { process: started, port, address: `127.0.0.1:${port}` }
  },
}

function version(): string {
  const said = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })
  return /v=([\d.]+)/.exec(said.stdout ?? '')?.[1] ?? ''
}
