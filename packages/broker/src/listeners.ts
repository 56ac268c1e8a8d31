import type { Log } from './admin/log.ts'
import { isLoopback, isWildcard, showHostPort, type HostPort } from './options/address.ts'
import { flagOf } from './options/option.ts'
import { advertisedName, type ListenerValues, type Settings } from './options/table.ts'
import { protocols, type ProtocolEntry } from './protocols/index.ts'
import { NetworkError, type Address, type Runtime } from './runtime/runtime.ts'
import { StartError } from './start-error.ts'
import { Admission, ProtocolListener, type ListenerOptions, type Pressure } from './transport/listener.ts'

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
  try {
    for (const entry of protocols) {
      const wanted = settings.listeners.get(entry.name)
      if (wanted === undefined || wanted.at === 'off') continue
      const { network, clock, random } = runtime
      const log = logFor(entry.name)
      const protocol = await entry.load()
      const options = { protocol, network, clock, random, limits: settings, admission, pressure, log }
      const listener = await bind(options, entry, wanted, logFor('broker'))
      if (listener === undefined) continue
      const { address } = listener
      open.push({ name: entry.name, address, told: toldAddress(entry, wanted, wanted.at, address, log), listener })
    }
  } catch (error) {
    for (const { listener } of open) await listener.close()
    throw error
  }
  return open
}

/** Undefined when the default port is taken. */
async function bind(
  options: ListenerOptions<unknown>,
  { name }: ProtocolEntry,
  { at, asked }: ListenerValues,
  log: Log,
): Promise<ProtocolListener<unknown> | undefined> {
  if (at === 'off') return undefined
  try {
    return await ProtocolListener.bind(options, at)
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error
    const words = `Cannot listen on ${showHostPort(at)} for ${name}: ${reasons[error.code]}`
    if (asked) throw new StartError(words, { cause: error })
    log('warn', `${words}; going on without it. Give ${flagOf(name)} another port`)
    return undefined
  }
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
  { advertised }: ListenerValues,
  at: HostPort,
  bound: Address,
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
