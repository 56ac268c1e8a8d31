import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { ServerProcess } from '../../test/support/server-process.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'
import { freePorts, untilItAccepts } from './ports.ts'

/** Debian's beanstalkd with a binlog: synced at every write, or every 50 ms as by default. */
export const beanstalkd: Peer = {
  name: 'beanstalkd',
  title(durability: Durability): string {
    const sync = { fsync: '-f 0, a sync for every write', os: '-f 50, its default', memory: 'no binlog' }[durability]
    return `beanstalkd ${version()} (${sync})`
  },
  missing: () => (version() === '' ? 'no beanstalkd on this machine (apt install beanstalkd)' : undefined),
  async start({ directory, durability }: PeerOptions): Promise<Running> {
    mkdirSync(directory, { recursive: true })
    const [port] = await freePorts(1)
    if (port === undefined) throw new Error('No free port on loopback')
    const binlog = durability === 'memory' ? [] : ['-b', directory, '-f', durability === 'fsync' ? '0' : '50']
    // It says nothing, and with -V too much; the shell becomes beanstalkd.
    const args = ['-c', 'echo starting && exec beanstalkd "$@"', 'sh', '-l', '127.0.0.1', '-p', String(port), ...binlog]
    const started = await ServerProcess.start({ command: 'sh', args, isReady: () => true })
    await untilItAccepts(port)
    return { process: started, port, address: `127.0.0.1:${port}` }
  },
}

function version(): string {
  const said = spawnSync('beanstalkd', ['-v'], { encoding: 'utf8' })
  return said.status === 0 ? said.stdout.replace('beanstalkd', '').trim() : ''
}
