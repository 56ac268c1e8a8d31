import { choice, count, duration, optionalText, text, type Kind, type Option, type Section } from './option.ts'

const second = 1000
const minute = 60 * second
const day = 24 * 60 * minute

/** A user of the configuration. */
export interface UserPassword {
  readonly name: string
  readonly password: string
}

/** `NAME:PASSWORD`, several with commas between them. */
const usersKind: Kind<readonly UserPassword[]> = {
  placeholder: 'NAME:PASSWORD[,...]',
  takes: 'NAME:PASSWORD, several with commas between them',
  isSecret: true,
  parse: value => (value === '' ? [] : parseUsers(value.split(','))),
  show: value => value.map(({ name }) => name).join(','),
}

/** Undefined when a line is no `NAME:PASSWORD`. The password may hold further colons. */
export function parseUsers(lines: readonly string[]): UserPassword[] | undefined {
  const users = lines.map(line => {
    const colon = line.indexOf(':')
    return { name: line.slice(0, Math.max(0, colon)).trim(), password: line.slice(colon + 1) }
  })
  const names = new Set(users.map(({ name }) => name))
  const isFine = users.every(({ name, password }) => name !== '' && password !== '') && names.size === users.length
  return isFine ? users : undefined
}

const list = (placeholder: string, takes: string, separator: string): Kind<readonly string[] | undefined> => ({
  placeholder,
  takes,
  parse: value => {
    const entries = value.split(separator).map(entry => entry.trim())
    return entries.includes('') ? undefined : entries
  },
  show: value => value?.join(separator) ?? '',
})

const mechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'] as const
type Mechanism = (typeof mechanisms)[number]

const mechanismsKind: Kind<readonly Mechanism[]> = {
  placeholder: 'NAME,NAME',
  takes: `names with commas between them, of ${mechanisms.join(', ')}`,
  parse: value => {
    const wanted = value.split(',').map(name => mechanisms.find(known => known === name.trim().toUpperCase()))
    return wanted.every(name => name !== undefined) ? wanted : undefined
  },
  show: value => value.join(','),
}

const optionIn =
  (section: Section) =>
  <T>(kind: Kind<T>, value: NoInfer<T>, help: string): Option<T> => ({ kind, default: value, section, help })

const option = optionIn('security')
const tlsOption = optionIn('tls')
const tokenOption = optionIn('tokens')

const file = (what: string): Kind<string | undefined> => optionalText('FILE', what)

/** Who may connect, how they prove it, what they may do, and how the connection is protected. */
export const securityRows = {
  users: option(
    usersKind,
    [],
    'Users that are there from the start; they may do everything unless `--super-users` says who may. Others on the machine can read flags: prefer the environment or a file.',
  ),
  usersFile: option(file('a file with one NAME:PASSWORD per line'), undefined, 'The same from a file, one per line.'),
  superUsers: option(
    list('NAME[;NAME]', 'names with semicolons between them', ';'),
    undefined,
    'Who may do everything; by default the users of the options and the first user that was ever made.',
  ),
  webSocketOrigins: option(
    list('ORIGIN[,ORIGIN]', 'origins like https://example.org with commas between them, or *', ','),
    undefined,
    'Web pages of these origins may connect by WebSocket, besides those of this machine and of the host that they connect to; `*` allows all.',
  ),
  authentication: option(
    choice('auto', 'on', 'off'),
    'auto',
    '`on`: clients must say who they are. `auto`: when users are given here, tokens or client certificates are taken, or a listener is not on loopback.',
  ),
  authorization: option(
    choice('auto', 'on', 'off'),
    'auto',
    '`on`: clients may only do what rules let them. `auto`: when clients must say who they are, and there is a user or a super user.',
  ),
  withoutRule: option(
    choice('deny', 'allow'),
    'deny',
    'What becomes of a request for something that no rule is about.',
  ),
  saslMechanisms: option(
    mechanismsKind,
    mechanisms,
    'Ways to log in that are offered, as far as there is anybody to use them.',
  ),
  sessionLifetimeMs: option(
    duration(0, 365 * day),
    0,
    'A client must prove again who it is after this time; 0: as long as the connection lasts. A token never lasts longer than it says.',
  ),
  authenticationTimeoutMs: option(
    duration(100, 1 * day),
    30 * second,
    'Close a connection that has not said who it is after this time, where it must.',
  ),

  tlsCert: tlsOption(file('a PEM file'), undefined, 'Certificate of the broker with those that lead to its authority.'),
  tlsKey: tlsOption(file('a PEM file'), undefined, 'Its private key.'),
  tlsCa: tlsOption(file('a PEM file'), undefined, 'Authorities that may have issued the certificates of clients.'),
  tlsClientAuth: tlsOption(
    choice('none', 'want', 'require'),
    'none',
    'Whether clients are asked for a certificate. Its subject is who they are.',
  ),
  tlsPrincipal: tlsOption(
    choice('subject', 'cn'),
    'subject',
    'Name of a client with a certificate: the whole subject (`CN=app,O=Example`), or its common name alone.',
  ),
  tlsVersionMin: tlsOption(choice('1.2', '1.3'), '1.2', 'Oldest version of TLS that is spoken.'),
  tlsReloadIntervalMs: tlsOption(
    duration(second, 1 * day),
    minute,
    'Look this often whether certificate, key or authorities are others; new connections then get the new ones.',
  ),
  tlsHandshakesMax: tlsOption(
    count(1, 1_000_000),
    500,
    'Handshakes under way on one listener; one more is closed at once.',
  ),
  tlsHandshakeTimeoutMs: tlsOption(
    duration(100, 10 * minute),
    10 * second,
    'Close a connection whose handshake takes longer.',
  ),

  tokenKeys: tokenOption(
    optionalText('FILE|URL', 'a file, or an address that begins with http:// or https://'),
    undefined,
    'JSON Web Key Set of whoever issues the tokens of OAUTHBEARER.',
  ),
  tokenIssuer: tokenOption(optionalText('NAME', 'a name'), undefined, 'Issuer that a token must have.'),
  tokenAudience: tokenOption(
    list('NAME[,NAME]', 'names with commas between them', ','),
    undefined,
    'Audiences of which a token must have one.',
  ),
  tokenScope: tokenOption(
    list('NAME[,NAME]', 'names with commas between them', ','),
    undefined,
    'Scopes of which a token must have all.',
  ),
  tokenClaim: tokenOption(text('NAME', 'the name of a claim'), 'sub', 'Claim of a token that names the user.'),
  tokenClockSkewMs: tokenOption(
    duration(0, 10 * minute),
    30 * second,
    'How far the clock of the issuer may be from that of the broker.',
  ),
} as const satisfies Record<string, Option<unknown>>
