import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ServerProcess } from '../../test/support/server-process.ts'
import type { Peer, PeerOptions, Running } from './peer.ts'
import { freePorts, untilItAccepts } from './ports.ts'

const home = '/usr/lib/rabbitmq'

/**
 * One node of Debian's RabbitMQ with its default settings, in directories and on ports of its own. What it promises with a
 * confirm depends on the queue, not on the node: `durability` means nothing here.
 */
export const rabbitmq: Peer = {
  name: 'rabbitmq',
  title: () => `RabbitMQ ${version()}`,
  missing: () => (version() === '' ? 'no RabbitMQ on this machine (apt install rabbitmq-server)' : undefined),
  start: (options: PeerOptions): Promise<Running> => startRabbitmq(options),
}

export interface RabbitmqOptions extends PeerOptions {
  /** Names of plugins to enable. */
  plugins?: readonly string[]
  /** Further lines of `rabbitmq.conf`. */
  settings?: readonly string[]
}

export async function startRabbitmq({ directory, plugins = [], settings = [] }: RabbitmqOptions): Promise<Running> {
  const [port, distribution, mapper] = await freePorts(3)
  if (port === undefined || distribution === undefined || mapper === undefined)
    throw new Error('No free port on loopback')
  mkdirSync(directory, { recursive: true })
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const env = {
    HOME: directory,
    RABBITMQ_NODENAME: 'peer@localhost',
    RABBITMQ_NODE_IP_ADDRESS: '127.0.0.1',
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: join(directory, 'mnesia'),
    RABBITMQ_LOG_BASE: join(directory, 'log'),
    RABBITMQ_LOGS: '-',
    RABBITMQ_CONFIG_FILE: file('rabbitmq.conf', ['log.console.level = warning', ...settings, ''].join('\n')),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('plugins', `[${plugins.join(',')}].\n`),
    RABBITMQ_CONF_ENV_FILE: file('env.conf', ''),
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
    // Its start script then becomes the node itself instead of waiting for it: one process, whose id is known.
    RUNNING_UNDER_SYSTEMD: 'true',
    ERL_EPMD_PORT: String(mapper),
  }
  // Erlang's port mapper outlives the node that starts it. One of our own ends with the node.
  const ports: ChildProcess = spawn('epmd', ['-port', String(mapper), '-address', '127.0.0.1'], { stdio: 'ignore' })
  try {
    await untilItAccepts(mapper)
    const started = await ServerProcess.start({
      command: join(home, 'bin', 'rabbitmq-server'),
      args: [],
      env,
      isReady: line => /completed with \d+ plugins/.test(line),
      timeoutMs: 120_000,
    })
    void started.exited.finally(() => ports.kill())
    await untilItAccepts(port)
    return { process: started, port, address: `127.0.0.1:${port}` }
  } catch (error) {
    ports.kill()
    throw error
  }
}

function version(): string {
  const library = join(home, 'lib')
  if (!existsSync(library)) return ''
  const found = readdirSync(library).find(name => name.startsWith('rabbitmq_server-'))
  return found?.slice('rabbitmq_server-'.length) ?? ''
}
