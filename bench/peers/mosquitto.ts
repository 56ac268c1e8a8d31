import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ServerProcess } from '../../test/support/server-process.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'
import { freePorts, untilItAccepts } from './ports.ts'

const policies = {
  fsync: 'its database is never synced',
  os: 'its database is never synced',
  memory: 'no file',
} as const

/** Debian's Mosquitto without limits of its queues. What it keeps is written now and then, and never synced. */
export const mosquitto: Peer = {
  name: 'mosquitto',
  title: (durability: Durability) => `Mosquitto ${version()} (${policies[durability]})`,
  missing: () => (version() === '' ? 'no Mosquitto on this machine (apt install mosquitto)' : undefined),
  async start({ directory, durability }: PeerOptions): Promise<Running> {
    mkdirSync(directory, { recursive: true })
    // As root it becomes a user of its own.
    chmodSync(directory, 0o777)
    const [port] = await freePorts(1)
    if (port === undefined) throw new Error('No free port on loopback')
    const lines = [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'max_queued_messages 0',
      'max_inflight_messages 0',
      `persistence ${durability === 'memory' ? 'false' : 'true'}`,
      `persistence_location ${directory}/`,
    ]
    const file = join(directory, 'mosquitto.conf')
    writeFileSync(file, `${lines.join('\n')}\n`)
    // It speaks on stderr; the shell becomes Mosquitto.
    const args = ['-c', 'echo starting && exec mosquitto -c "$1"', 'sh', file]
    const started = await ServerProcess.start({ command: 'sh', args, isReady: () => true })
    await untilItAccepts(port)
    return { process: started, port, address: `127.0.0.1:${port}` }
  },
}

function version(): string {
  const said = spawnSync('mosquitto', ['-h'], { encoding: 'utf8' })
  return /version ([\d.]+)/.exec(said.stdout ?? '')?.[1] ?? ''
}
