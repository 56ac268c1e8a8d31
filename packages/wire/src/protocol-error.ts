/** The peer broke the protocol: answer it if the protocol has a form for that, then close that connection. */
export class ProtocolError extends Error {
  override name = 'ProtocolError'
}
