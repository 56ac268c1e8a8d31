import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository, startDragoman, type Dragoman } from '../support/dragoman.ts'

/** A broker whose clients must say who they are, by each way that there is. Programs get it as JSON. */
export interface Secure {
  /** HOST:PORT of the listener without TLS, and of the one with it. */
  plain: string
  tls: string
  /** PEM files: who issued all certificates, and a client's own, which may do everything. */
  authority: string
  certificate: string
  key: string
  /** Who may do everything, and who may do nothing until a rule says so. */
  user: string
  password: string
  stranger: string
  strangerPassword: string
  /** A bearer token of somebody who may do everything. */
  token: string
}

const certificates = join(repository, 'test', 'support', 'certificates')

export async function startSecure(directory: string): Promise<{ broker: Dragoman; secure: Secure }> {
  const issuer = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const keys = join(directory, 'keys.json')
  const key = { ...issuer.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256' }
  writeFileSync(keys, JSON.stringify({ keys: [key] }))
  const options = {
    'kafka-tls': '0',
    'tls-cert': join(certificates, 'server.crt'),
    'tls-key': join(certificates, 'server.key'),
    'tls-ca': join(certificates, 'authority.crt'),
    'tls-client-auth': 'want',
    'tls-principal': 'cn',
    users: 'admin:secret,ann:a-password',
    'super-users': 'admin;app;machine',
    'token-keys': keys,
    'token-issuer': 'interop',
  }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  const broker = await startDragoman({ data: join(directory, 'secure'), args })
  const line = broker.process.lines.map(text => /^kafka-tls\s+\S+:(\d+)/.exec(text)).find(match => match !== null)
  const secure = {
    plain: broker.address,
    tls: `localhost:${line?.[1]}`,
    authority: join(certificates, 'authority.crt'),
    certificate: join(certificates, 'client.crt'),
    key: join(certificates, 'client.key'),
    user: 'admin',
    password: 'secret',
    stranger: 'ann',
    strangerPassword: 'a-password',
    token: tokenOf('machine', issuer.privateKey),
  }
  return { broker, secure }
}

function tokenOf(user: string, key: KeyObject): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const now = Math.floor(Date.now() / 1000)
  const claims = { sub: user, iss: 'interop', iat: now, exp: now + 3600 }
  const signed = `${part({ alg: 'ES256', kid: 'one' })}.${part(claims)}`
  const signature = sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}
