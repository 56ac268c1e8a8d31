import type { Log } from './admin/log.ts'
import { isLoopback, isWildcard, showHostPort, type HostPort } from './options/address.ts'
import { flagOf } from './options/option.ts'
import { advertisedName, type Settings } from './options/table.ts'
import { protocols, type ProtocolEntry } from './protocols/index.ts'
import { NetworkError, type Address, type Runtime } from './runtime/runtime.ts'
import { StartError } from './start-error.ts'
import { Admission, ProtocolListener, type Pressure } from './transport/listener.ts'

export interface OpenListener {
  readonly name: string
  /** Where it listens. */
  readonly address: Address
  /** What clients are told. */
  readonly told: Address
  readonly listener: ProtocolListener<unknown>
}

/** Refuses to let the world in while there is nobody to ask for a password. */
export function checkExposure(settings: Settings): void {
  if (settings.insecure) return
  for (const [name, { at }] of settings.listeners) {
    if (at === 'off' || isLoopback(at.host)) continue
    throw new StartError(
      `Cannot let ${name} listen on ${showHostPort(at)}: no users are configured, so anyone who reaches it could read and ` +
        `write everything. Listen on 127.0.0.1, or give --insecure if the network itself keeps others out`,
    )
  }
}

/**
 * Binds the listener of each protocol that is on; none serves yet. A default port that is taken costs that listener and a
 * warning; one that was asked for rejects with `StartError`.
 */
export async function bindListeners(
  settings: Settings,
  runtime: Runtime,
  pressure: Pressure,
  logFor: (component: string) => Log,
): Promise<OpenListener[]> {
  const admission = new Admission(settings.connectionsMax)
  const open: OpenListener[] = []
  for (const entry of protocols) {
    const wanted = settings.listeners.get(entry.name)
    if (wanted === undefined || wanted.at === 'off') continue
    const { at, asked, advertised } = wanted
    try {
      const log = logFor(entry.name)
      const { network, clock, random } = runtime
      const protocol = await entry.load()
      const options = { protocol, network, clock, random, limits: settings, admission, pressure, log }
      const listener = await ProtocolListener.bind<unknown>(options, at)
      const { address } = listener
      open.push({ name: entry.name, address, told: toldAddress(entry, at, address, advertised, log), listener })
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error
      const words = `Cannot listen on ${showHostPort(at)} for ${entry.name}: ${reasons[error.code]}`
      if (asked) {
        for (const { listener } of open) await listener.close()
        throw new StartError(words, { cause: error })
      }
      logFor('broker')('warn', `${words}; going on without it. Give ${flagOf(entry.name)} another port`)
    }
  }
  return open
}

const reasons = {
  'in-use': 'the port is taken',
  denied: 'the system does not allow it',
  unavailable: 'this machine has no such address',
  refused: 'the connection is refused',
} as const satisfies Record<NetworkError['code'], string>

/** A listener on all interfaces has no address of its own to tell. */
function toldAddress(
  entry: ProtocolEntry,
  at: HostPort,
  bound: Address,
  advertised: HostPort | undefined,
  log: Log,
): Address {
  if (advertised !== undefined) return advertised
  if (!isWildcard(at.host)) return { host: at.host, port: bound.port }
  if (entry.advertises) {
    const flag = flagOf(advertisedName(entry.name))
    log('warn', `Clients are told to connect to 127.0.0.1; those on other machines need ${flag} HOST:PORT`)
  }
  return { host: '127.0.0.1', port: bound.port }
}
