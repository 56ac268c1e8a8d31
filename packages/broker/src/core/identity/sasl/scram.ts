import { checkProof, serverSignature, type Credential } from '../scram.ts'
import { failure, wrongCredentials, type SaslExchange, type SaslStep } from './mechanism.ts'

const messageBytesMax = 8192

/** A value may be any printable ASCII but `,`; names are UTF-8. */
const clientFirst =
  /^(n|y|p=[A-Za-z0-9.-]+),(?:a=([^,]*))?,((?:m=([^,]*),)?n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*)$/
const clientFinal = /^(c=([A-Za-z0-9+/=]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*),p=([A-Za-z0-9+/=]+)$/

type State =
  | { kind: 'first' }
  | {
      kind: 'final'
      user: string
      credential: Credential
      isKnown: boolean
      header: string
      clientFirstBare: string
      serverFirst: string
      clientNonce: string
      nonce: string
    }
  | { kind: 'over' }

export interface ScramSource {
  /** The credential of the user; for a stranger one that no password fits, and always the same one. */
  credentialFor(user: string): { credential: Credential; isKnown: boolean }
  /** Printable ASCII without `,`, never the same. */
  nonce(): string
}

/**
 * SCRAM (RFC 5802, RFC 7677): neither side tells the other the password, and both prove that they know it.
 *
 *   first --client-first--> final --client-final--> over
 *
 * Channel binding is not offered: a client that demands it is refused, one that could but sees that we do not is fine.
 */
export class ScramExchange implements SaslExchange {
  readonly #source: ScramSource
  #state: State = { kind: 'first' }

  constructor(source: ScramSource) {
    this.#source = source
  }

  next(data: Buffer): SaslStep {
    const state = this.#state
    this.#state = { kind: 'over' }
    if (data.length > messageBytesMax) return failure('Authentication failed: the message is too long')
    if (state.kind === 'first') return this.#first(data.toString())
    if (state.kind === 'final') return finish(state, data.toString())
    return failure('Authentication failed: the exchange is over')
  }

  #first(message: string): SaslStep {
    const match = clientFirst.exec(message)
    if (match === null) return failure('Authentication failed: this is no first message of SCRAM')
    const [, binding = '', authorizationId, clientFirstBare = '', mandatory, saslName = '', clientNonce = ''] = match
    if (binding.startsWith('p')) return failure('Authentication failed: channel binding is not supported')
    if (mandatory !== undefined) return failure('Authentication failed: a mandatory extension is not supported')
    const user = unescape(saslName)
    if (user === undefined) return failure('Authentication failed: the name is not written as SCRAM wants it')
    if (authorizationId !== undefined && authorizationId !== '' && unescape(authorizationId) !== user) {
      return failure('Authentication failed: nobody can act for another user')
    }
    const { credential, isKnown } = this.#source.credentialFor(user)
    const nonce = clientNonce + this.#source.nonce()
    const serverFirst = `r=${nonce},s=${credential.salt.toString('base64')},i=${credential.iterations}`
    const header = Buffer.from(message.slice(0, message.length - clientFirstBare.length)).toString('base64')
    const said = { header, clientFirstBare, serverFirst, clientNonce, nonce }
    this.#state = { kind: 'final', user, credential, isKnown, ...said }
    return { kind: 'challenge', data: Buffer.from(serverFirst) }
  }
}

function finish(state: State & { kind: 'final' }, message: string): SaslStep {
  const match = clientFinal.exec(message)
  if (match === null) return failure('Authentication failed: this is no final message of SCRAM')
  const [, withoutProof = '', header, nonce, proof = ''] = match
  // Some widespread clients put their own nonce before the whole one, against RFC 5802. The proof covers both messages in any
  // case: what was said in another exchange does not become good by that.
  const isOfThis = nonce === state.nonce || nonce === state.clientNonce + state.nonce
  if (!isOfThis) return failure('Authentication failed: the nonce is not that of this exchange')
  if (header !== state.header) return failure('Authentication failed: the channel binding is not that of this exchange')
  const said = `${state.clientFirstBare},${state.serverFirst},${withoutProof}`
  const isRight = checkProof(state.credential, said, Buffer.from(proof, 'base64'))
  if (!isRight || !state.isKnown) return wrongCredentials
  const data = Buffer.from(`v=${serverSignature(state.credential, said).toString('base64')}`)
  return { kind: 'success', principal: state.user, data }
}

/** A name in SCRAM writes `,` as `=2C` and `=` as `=3D`. Undefined for other uses of `=`. */
function unescape(name: string): string | undefined {
  const isEscaped = /^(?:[^=]|=2C|=3D)+$/.test(name)
  return isEscaped ? name.replaceAll('=2C', ',').replaceAll('=3D', '=') : undefined
}
