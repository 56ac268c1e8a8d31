import type { Log } from './admin/log.ts'
import { Identity, userNameProblem, type IdentityOptions, type IdentitySettings } from './core/identity/identity.ts'
import { Tokens } from './core/identity/tokens.ts'
import { allNeedCertificates, exposedListeners, exposedWithoutLogin, hasTlsListeners } from './listeners.ts'
import { parseUsers, type UserPassword } from './options/security.ts'
import type { Settings } from './options/table.ts'
import { NetworkError, type Cancel, type Disk, type ListenerTls, type Runtime } from './runtime/runtime.ts'
import type { SteadyClock } from './runtime/steady-clock.ts'
import { StartError } from './start-error.ts'

/** Larger files are not what they are said to be. */
const fileBytesMax = 4 * 1024 * 1024
const downloadTimeoutMs = 10_000

/** What the listeners with TLS show and trust. */
export type TlsFiles = Omit<ListenerTls, 'failed'>

/** Reads certificate, key and authorities; undefined when no listener needs them. Rejects with `StartError`. */
async function readTls(settings: Settings, { disk }: Runtime): Promise<TlsFiles | undefined> {
  if (!hasTlsListeners(settings)) return undefined
  const { tlsCert, tlsKey, tlsCa, tlsClientAuth: clientAuth, tlsVersionMin: versionMin } = settings
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new StartError('Cannot listen with TLS without a certificate: give --tls-cert and --tls-key')
  }
  const cert = await readFile(disk, tlsCert, '--tls-cert')
  const key = await readFile(disk, tlsKey, '--tls-key')
  const ca = tlsCa === undefined ? undefined : await readFile(disk, tlsCa, '--tls-ca')
  if (clientAuth !== 'none' && ca === undefined) {
    throw new StartError('Cannot check the certificates of clients without their authorities: give --tls-ca')
  }
  const { tlsHandshakesMax: handshakesMax, tlsHandshakeTimeoutMs: handshakeTimeoutMs } = settings
  return { identity: { cert, key }, settings: { ca, clientAuth, versionMin, handshakesMax, handshakeTimeoutMs } }
}

/** Looks every now and then whether the files are others, and hands them to the listeners. */
export function watchTls(
  settings: Settings,
  runtime: Runtime,
  present: TlsFiles,
  renew: (files: TlsFiles) => void,
  log: Log,
): Cancel {
  let files = present
  let cancel: Cancel
  const look = async (): Promise<void> => {
    try {
      const found = await readTls(settings, runtime)
      if (found !== undefined && !isSame(found, files)) {
        renew(found)
        files = found
        log('info', 'New connections get the new certificate')
      }
    } catch (error) {
      if (!(error instanceof StartError || error instanceof NetworkError)) throw error
      log('warn', 'The new certificate cannot be used; the one from before is', { reason: error.message })
    }
  }
  const wait = (): void => {
    cancel = runtime.clock.after(settings.tlsReloadIntervalMs, () => void look().then(wait))
  }
  wait()
  return () => cancel()
}

function isSame(a: TlsFiles, b: TlsFiles): boolean {
  return a.identity.cert === b.identity.cert && a.identity.key === b.identity.key && a.settings.ca === b.settings.ca
}

/** What the options name and the broker needs before it opens its data. */
export interface SecurityParts {
  readonly tls: TlsFiles | undefined
  readonly users: readonly UserPassword[]
  readonly tokens: Tokens | undefined
}

/** Rejects with `StartError` when something that the options name is not there or not right. */
export async function readSecurity(
  settings: Settings,
  runtime: Runtime & { readonly clock: SteadyClock },
  log: Log,
): Promise<SecurityParts> {
  const tls = await readTls(settings, runtime)
  const users = [...settings.users, ...(await readUsers(settings, runtime.disk))]
  for (const { name } of users) {
    const problem = userNameProblem(name)
    if (problem !== undefined) throw new StartError(`Cannot take a user of the options: ${problem}`)
  }
  return { tls, users, tokens: await openTokens(settings, runtime, log) }
}

/** The front door of users and rules. */
export function makeIdentity(
  settings: Settings,
  { users, tokens }: SecurityParts,
  options: Pick<IdentityOptions, 'ledger' | 'random' | 'log'>,
): Identity {
  const { authentication, superUsers, tlsClientAuth } = settings
  const isAsked = users.length > 0 || tokens !== undefined || tlsClientAuth === 'require'
  const isExposed = !settings.insecure && exposedListeners(settings).length > 0
  const identitySettings: IdentitySettings = {
    users,
    superUsers: superUsers?.map(name => name.replace(/^User:/, '')),
    mechanisms: settings.saslMechanisms,
    isRequired: authentication === 'auto' ? isAsked || isExposed : authentication === 'on',
    authorization: settings.authorization,
    withoutRule: settings.withoutRule,
    certificateName: settings.tlsPrincipal,
    sessionMs: settings.sessionLifetimeMs,
    authenticationMs: settings.authenticationTimeoutMs,
  }
  return new Identity({ ...options, limits: settings, settings: identitySettings, tokens })
}

/** Refuses to let the world in while there is nobody to ask for a password. */
export function checkExposure(settings: Settings, identity: Identity): void {
  const [first] = exposedListeners(settings)
  if (first === undefined || settings.insecure) return
  const [open] = exposedWithoutLogin(settings)
  if (open !== undefined) {
    throw new StartError(
      `Cannot let ${open} be reached from other machines: its protocol has no login, so anyone who reaches it could read and ` +
        `write everything. Listen on 127.0.0.1, or give --insecure if the network itself keeps others out`,
    )
  }
  const remedy = 'or give --insecure if the network itself keeps others out'
  if (!identity.isRequired) {
    throw new StartError(
      `Cannot let ${first} be reached from other machines with --authentication off: anyone could read and write everything. ` +
        `Listen on 127.0.0.1, ${remedy}`,
    )
  }
  if (identity.hasUsers || identity.mechanisms.length > 0 || allNeedCertificates(settings)) return
  throw new StartError(
    `Cannot let ${first} be reached from other machines: no users are configured, so anyone who reaches it could read and ` +
      `write everything. Listen on 127.0.0.1, give --users or make a user with "dragoman user create", ${remedy}`,
  )
}

async function readUsers({ usersFile }: Settings, disk: Disk): Promise<readonly UserPassword[]> {
  if (usersFile === undefined) return []
  const text = await readFile(disk, usersFile, '--users-file')
  const lines = text.split(/\r?\n/).filter(line => line.trim() !== '' && !line.startsWith('#'))
  const users = lines.length === 0 ? [] : parseUsers(lines)
  if (users === undefined) {
    throw new StartError(`Cannot read ${usersFile} for --users-file: each line is one NAME:PASSWORD, each name once`)
  }
  return users
}

async function openTokens(
  settings: Settings,
  { disk, network, clock }: Runtime & { readonly clock: SteadyClock },
  log: Log,
): Promise<Tokens | undefined> {
  const { tokenKeys: place } = settings
  if (place === undefined) return undefined
  const limits = { bytesMax: fileBytesMax, timeoutMs: downloadTimeoutMs }
  const isAddress = /^https?:\/\//.test(place)
  const fetchKeys = (): Promise<string> =>
    isAddress ? network.download(place, limits) : readFile(disk, place, '--token-keys')
  const tokens = new Tokens({
    fetchKeys,
    clock,
    wallMs: () => clock.wallMs(),
    log,
    issuer: settings.tokenIssuer,
    audiences: settings.tokenAudience ?? [],
    scopes: settings.tokenScope ?? [],
    principalClaim: settings.tokenClaim,
    clockSkewMs: settings.tokenClockSkewMs,
  })
  try {
    await tokens.open()
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    // Whoever issues tokens may start after us; a file is there or it is not.
    if (!isAddress) throw new StartError(`Cannot take the keys of tokens from ${place}: ${reason}`, { cause: error })
    log('warn', 'The keys of tokens could not be brought; it is tried again when a token comes', { reason })
  }
  return tokens
}

async function readFile(disk: Disk, path: string, option: string): Promise<string> {
  try {
    const file = await disk.open(path, 'read')
    try {
      const size = await file.size()
      if (size > fileBytesMax) throw new Error(`it is larger than ${fileBytesMax} bytes`)
      const bytes = Buffer.alloc(size)
      return bytes.toString('utf8', 0, await file.read(bytes, 0))
    } finally {
      await file.close()
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`Cannot read ${path} for ${option}: ${reason}`, { cause: error })
  }
}
