import type { Log } from './admin/log.ts'
import { isLoopback, isWildcard, showHostPort, type HostPort, type ListenAt } from './options/address.ts'
import { flagOf } from './options/option.ts'
import { advertisedName, tlsName, type Settings } from './options/table.ts'
import { connectionCeiling } from './descriptors.ts'
import { entries, type ListenerEntry } from './entries.ts'
import type { Protocol } from './protocols/protocol.ts'
import { NetworkError, type Address, type Runtime } from './runtime/runtime.ts'
import { StartError } from './start-error.ts'
import { Admission, ProtocolListener, type ListenerOptions, type Pressure } from './transport/listener.ts'
import { ReadingTurns } from './transport/reading-turns.ts'

export interface OpenListener {
  /** The protocol's, and `-tls` behind it where connections are protected. */
  readonly name: string
  /** Where it listens. */
  readonly address: Address
  /** What clients are told. */
  readonly told: Address
  readonly listener: ProtocolListener<unknown>
  readonly protocol: Protocol
}

/** One of the two listeners that a protocol can have. */
interface Wanted {
  readonly entry: ListenerEntry
  readonly name: string
  /** Of its options: `kafka`, `kafkaTls`. */
  readonly option: string
  readonly at: HostPort
  readonly asked: boolean
  readonly advertised: HostPort | undefined
  readonly isSecure: boolean
}

/** The listeners that can be reached from other machines, as the options name them. */
export function exposedListeners(settings: Settings): string[] {
  return wantedListeners(settings)
    .filter(({ at }) => !isLoopback(at.host))
    .map(({ name, at }) => `${name} on ${showHostPort(at)}`)
}

/** The listeners that were asked for, can be reached from other machines, and whose clients cannot say who they are. */
export function exposedWithoutLogin(settings: Settings): string[] {
  return wantedListeners(settings)
    .filter(({ at, asked, entry }) => asked && !entry.hasLogin && !isLoopback(at.host))
    .map(({ name, at }) => `${name} on ${showHostPort(at)}`)
}

export function hasTlsListeners(settings: Settings): boolean {
  return wantedListeners(settings).some(({ isSecure }) => isSecure)
}

/** Whether all listeners ask their peers for a certificate. */
export function allNeedCertificates(settings: Settings): boolean {
  return settings.tlsClientAuth === 'require' && wantedListeners(settings).every(({ isSecure }) => isSecure)
}

function wantedListeners(settings: Settings): Wanted[] {
  const wanted: Wanted[] = []
  const add = (isSecure: boolean, at: ListenAt, rest: Omit<Wanted, 'isSecure' | 'at'>): void => {
    if (at !== 'off') wanted.push({ ...rest, at, isSecure })
  }
  for (const entry of entries) {
    const values = settings.listeners.get(entry.name)
    if (values === undefined) continue
    const { at, asked, advertised, tls, tlsAdvertised } = values
    const { name } = entry
    add(false, at, { entry, name, option: name, asked, advertised })
    add(true, tls, { entry, name: `${name}-tls`, option: tlsName(name), asked: true, advertised: tlsAdvertised })
  }
  return wanted
}

/**
 * Binds the listeners of each protocol that is on; none serves yet. A default port that is taken costs that listener and a
 * warning; one that was asked for rejects with `StartError`.
 */
export async function bindListeners(
  settings: Settings,
  runtime: Runtime,
  tls: ListenerOptions<unknown>['tls'],
  pressure: Pressure,
  logFor: (component: string) => Log,
  connectionsMax: () => number,
  isLoginRequired: boolean,
): Promise<OpenListener[]> {
  const ceiling = await connectionCeiling(runtime, settings, tls !== undefined, logFor('broker'))
  const admission = new Admission(connectionsMax, ceiling)
  const turns = new ReadingTurns(runtime.clock)
  const open: OpenListener[] = []
  let isMissing = false
  try {
    for (const wanted of wantedListeners(settings)) {
      const { network, clock, random } = runtime
      const log = logFor(wanted.name)
      if (isLoginRequired && !wanted.entry.hasLogin) {
        const flag = flagOf(wanted.option)
        if (!wanted.asked) {
          log('info', `Not listening: clients must say who they are, and these cannot. ${flag} opens it all the same`)
          continue
        }
        log('warn', 'Clients must say who they are, and these cannot: whoever reaches this listener may do everything')
      }
      const protocol = await wanted.entry.load()
      const shared = { protocol, network, clock, random, limits: settings, admission, turns, pressure, log }
      const options = { ...shared, tls: wanted.isSecure ? tls : undefined }
      const listener = await bind(options, wanted, logFor('broker'))
      if (listener === undefined) {
        isMissing = true
        continue
      }
      const { address } = listener
      open.push({ name: wanted.name, address, told: toldAddress(wanted, address, log), listener, protocol })
    }
    if (isMissing && open.length === 0) {
      logFor('broker')(
        'error',
        'Nobody can connect: all ports are taken. Is another broker running? --kafka 0 takes any free port',
      )
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
  { at, name, option, asked }: Wanted,
  log: Log,
): Promise<ProtocolListener<unknown> | undefined> {
  try {
    return await ProtocolListener.bind(options, at)
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error
    const reason = error.code === 'unusable' ? error.message : reasons[error.code]
    const words = `Cannot listen on ${showHostPort(at)} for ${name}: ${reason}`
    if (asked) throw new StartError(words, { cause: error })
    log('warn', `${words}; going on without it. Give ${flagOf(option)} another port`)
    return undefined
  }
}

const reasons = {
  'in-use': 'the port is taken',
  denied: 'the system does not allow it',
  unavailable: 'this machine has no such address',
  refused: 'the connection is refused',
} as const satisfies Record<Exclude<NetworkError['code'], 'unusable'>, string>

/** A listener on all interfaces has no address of its own to tell. */
function toldAddress({ entry, option, at, advertised }: Wanted, bound: Address, log: Log): Address {
  if (advertised !== undefined) return advertised
  if (!isWildcard(at.host)) return { host: at.host, port: bound.port }
  if (entry.advertises) {
    const flag = flagOf(advertisedName(option))
    log('warn', `Clients are told to connect to 127.0.0.1; those on other machines need ${flag} HOST:PORT`)
  }
  return { host: '127.0.0.1', port: bound.port }
}
