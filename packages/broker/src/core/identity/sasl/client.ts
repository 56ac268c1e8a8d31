import { ProtocolError } from '@dragoman/wire'
import { iterationsMin, prove, same, saltPasswordNow, type ScramMechanism } from '../scram.ts'

/** How a client is to say who it is. */
export type Login =
  | { readonly mechanism: 'PLAIN'; readonly user: string; readonly password: string }
  /** `nonce` is printable ASCII without `,`, and never the same. */
  | { readonly mechanism: ScramMechanism; readonly user: string; readonly password: string; readonly nonce: string }
  | { readonly mechanism: 'OAUTHBEARER'; readonly token: string }

/** A broker that asks for more would only waste our time. */
const iterationsTakenMax = 1_000_000

/**
 * The asking side of all mechanisms. `say` sends a message and resolves with the answer. Rejects with `ProtocolError` when the other
 * side does not prove that it knows the password, where the mechanism wants that.
 */
export async function logIn(login: Login, say: (message: Buffer) => Promise<Buffer>): Promise<void> {
  switch (login.mechanism) {
    case 'PLAIN':
      await say(Buffer.from(`\0${login.user}\0${login.password}`))
      return
    case 'OAUTHBEARER': {
      const problem = await say(Buffer.from(`n,,\x01auth=Bearer ${login.token}\x01\x01`))
      if (problem.length > 0) await say(Buffer.from([1]))
      return
    }
    default:
      return scram(login, say)
  }
}

async function scram(
  { mechanism, user, password, nonce }: Login & { mechanism: ScramMechanism },
  say: (message: Buffer) => Promise<Buffer>,
): Promise<void> {
  const header = 'n,,'
  const first = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`
  const serverFirst = (await say(Buffer.from(header + first))).toString()
  const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/=]+),i=(\d{1,9})/.exec(serverFirst)
  const [, serverNonce = '', salt = '', iterations = ''] = match ?? []
  const rounds = Number(iterations)
  if (!serverNonce.startsWith(nonce) || serverNonce === nonce)
    throw new ProtocolError('The broker does not speak SCRAM')
  if (rounds < iterationsMin || rounds > iterationsTakenMax) {
    throw new ProtocolError(`The broker asks for ${rounds} iterations: too few or too many`)
  }
  const withoutProof = `c=${Buffer.from(header).toString('base64')},r=${serverNonce}`
  const salted = saltPasswordNow(mechanism, password, Buffer.from(salt, 'base64'), rounds)
  const { proof, signature } = prove(mechanism, salted, `${first},${serverFirst},${withoutProof}`)
  const final = (await say(Buffer.from(`${withoutProof},p=${proof.toString('base64')}`))).toString()
  const shown = Buffer.from(/^v=([A-Za-z0-9+/=]+)/.exec(final)?.[1] ?? '', 'base64')
  if (!same(shown, signature))
    throw new ProtocolError('The broker does not know the password: it is not who it should be')
}
