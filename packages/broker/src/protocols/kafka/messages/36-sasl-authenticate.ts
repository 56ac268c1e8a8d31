import { bytes, i16, i64, message, nullableStr, since } from '@dragoman/wire'

export const request = message(
  { name: 'SaslAuthenticateRequest', versions: [0, 2], flexible: 2, doc: 'Carries a message of SASL.' },
  { authBytes: bytes },
)

export const response = message(
  { name: 'SaslAuthenticateResponse', versions: [0, 2], flexible: 2, doc: 'Carries the answer of SASL.' },
  {
    errorCode: i16,
    errorMessage: nullableStr,
    authBytes: bytes,
    /** After so many milliseconds the client must log in again; 0: never. */
    sessionLifetimeMs: since(1, i64),
  },
)
