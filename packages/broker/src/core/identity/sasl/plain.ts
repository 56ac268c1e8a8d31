import { empty, failure, wrongCredentials, type SaslExchange, type SaslStep } from './mechanism.ts'

const messageBytesMax = 4096

/** Whether the user has this password. */
export type CheckPassword = (user: string, password: string) => Promise<boolean>

/** PLAIN (RFC 4616): the name and the password as they are. To be used over TLS. */
export class PlainExchange implements SaslExchange {
  readonly #check: CheckPassword

  constructor(check: CheckPassword) {
    this.#check = check
  }

  async next(data: Buffer): Promise<SaslStep> {
    if (data.length > messageBytesMax) return failure('Authentication failed: the message is too long')
    const parts = data.toString().split('\0')
    const [authorizationId = '', user = '', password = ''] = parts
    if (parts.length !== 3 || user === '' || password === '') {
      return failure('Authentication failed: PLAIN needs a user and a password')
    }
    if (authorizationId !== '' && authorizationId !== user) {
      return failure('Authentication failed: nobody can act for another user')
    }
    const isRight = await this.#check(user, password)
    return isRight ? { kind: 'success', principal: user, data: empty } : wrongCredentials
  }
}
