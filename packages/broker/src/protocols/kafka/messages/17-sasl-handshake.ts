import { array, i16, message, str } from '@dragoman/wire'

export const request = message(
  {
    name: 'SaslHandshakeRequest',
    versions: [0, 1],
    flexible: 999,
    doc: 'Chooses a way to log in. After version 0 messages of SASL follow without headers; after version 1, SaslAuthenticate.',
  },
  { mechanism: str },
)

export const response = message(
  { name: 'SaslHandshakeResponse', versions: [0, 1], flexible: 999, doc: 'Says which ways to log in there are.' },
  { errorCode: i16, mechanisms: array(str) },
)
