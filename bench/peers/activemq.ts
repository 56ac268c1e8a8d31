import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ServerProcess } from '../../test/support/server-process.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'
import { freePorts, untilItAccepts } from './ports.ts'

const home = '/usr/share/activemq'
const jar = join(home, 'bin', 'activemq.jar')

/** Debian's ActiveMQ with its own store (KahaDB) and STOMP: synced at every write, as by default, or once a second. */
export const activemq: Peer = {
  name: 'ActiveMQ',
  title(durability: Durability): string {
    const sync = {
      fsync: 'KahaDB, every write synced, its default',
      os: 'KahaDB, synced once a second',
      memory: 'no store',
    }
    return `ActiveMQ ${version()} (${sync[durability]})`
  },
  missing: () =>
    existsSync(jar) && version() !== '' ? undefined : 'no ActiveMQ on this machine (apt install activemq)',
  async start({ directory, durability }: PeerOptions): Promise<Running> {
    mkdirSync(directory, { recursive: true })
    const [port] = await freePorts(1)
    if (port === undefined) throw new Error('No free port on loopback')
    const file = join(directory, 'activemq.xml')
    writeFileSync(file, configuration(directory, durability, port))
    const properties = { home, base: directory, conf: directory, data: directory }
    const args = [
      '-Xms1g',
      '-Xmx1g',
      ...Object.entries(properties).map(([name, value]) => `-Dactivemq.${name}=${value}`),
    ]
    const started = await ServerProcess.start({
      command: 'java',
      args: [...args, '-jar', jar, 'start', `xbean:file:${file}`],
      isReady: line => line.startsWith('Loading message broker'),
    })
    await untilItAccepts(port)
    return { process: started, port, address: `127.0.0.1:${port}` }
  },
}

function configuration(directory: string, durability: Durability, port: number): string {
  const sync = durability === 'os' ? ' journalDiskSyncStrategy="periodic"' : ''
  const store = `<persistenceAdapter><kahaDB directory="${directory}/kahadb"${sync}/></persistenceAdapter>`
  const spring = 'http://www.springframework.org/schema/beans'
  const core = 'http://activemq.apache.org/schema/core'
  return `<beans xmlns="${spring}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="${spring} ${spring}/spring-beans-2.0.xsd ${core} ${core}/activemq-core.xsd">
  <broker xmlns="${core}" useJmx="false" brokerName="bench" persistent="${durability !== 'memory'}" dataDirectory="${directory}">
    ${durability === 'memory' ? '' : store}
    <transportConnectors><transportConnector name="stomp" uri="stomp://127.0.0.1:${port}"/></transportConnectors>
  </broker>
</beans>
`
}

function version(): string {
  const said = spawnSync('dpkg-query', ['-W', '-f', '${Version}', 'activemq'], { encoding: 'utf8' })
  return said.status === 0 ? (/^[\d.]+/.exec(said.stdout)?.[0] ?? '') : ''
}
