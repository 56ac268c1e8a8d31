/** What the broker answers to what a client said. */
export type SaslStep =
  /** The client must say more. */
  | { readonly kind: 'challenge'; readonly data: Buffer }
  | {
      readonly kind: 'success'
      readonly principal: string
      /** What the client wants to hear in the end; empty for most mechanisms. */
      readonly data: Buffer
      /** Wall clock at which the proof is no longer worth anything. */
      readonly expiresMs?: number
    }
  /** `reason` may be told to the client: it does not say whether there is such a user. */
  | { readonly kind: 'failure'; readonly reason: string }

/** One attempt of one client to prove who it is (RFC 4422). Never throws for what the client says. */
export interface SaslExchange {
  /** `data` is valid only until this returns or awaits for the first time. Not to be called again after success or failure. */
  next(data: Buffer): SaslStep | Promise<SaslStep>
}

export const saslMechanisms = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'] as const
export type SaslMechanism = (typeof saslMechanisms)[number]

export const empty: Buffer = Buffer.alloc(0)

export const failure = (reason: string): SaslStep => ({ kind: 'failure', reason })

/** The same words whatever is wrong: a guess learns nothing. */
export const wrongCredentials = failure('Authentication failed: the user or the password is wrong')
