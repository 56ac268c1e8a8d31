/** What a client asks for, without its body. */
export interface Request {
  readonly method: string
  /** As it was sent: a path, and perhaps `?` and a query. */
  readonly target: string
  /** By name in small letters; what came more than once is joined with commas. */
  readonly headers: ReadonlyMap<string, string>
  /** Bytes of the body; undefined when it comes in chunks. */
  readonly bodyBytes: number | undefined
  /** The connection stays open after the answer. */
  readonly keepsAlive: boolean
  /** The client waits for `100 Continue` before it sends the body. */
  readonly expectsContinue: boolean
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Text is sent as UTF-8. */
  readonly body?: string | Buffer
}

/** Reasons that are sent with a status. */
export const reasons: Readonly<Record<number, string>> = {
  100: 'Continue',
  200: 'OK',
  201: 'Created',
  204: 'No Content',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  417: 'Expectation Failed',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  505: 'HTTP Version Not Supported',
}

export function jsonAnswer(status: number, value: unknown): Answer {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(value) }
}
