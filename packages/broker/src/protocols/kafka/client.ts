import { ProtocolError, Reader, Writer, type Codec, type Infer, type Write } from '@dragoman/wire'
import { logIn, type Login } from '../../core/identity/sasl/client.ts'
import type { Connection } from '../../runtime/runtime.ts'
import { codes } from './errors.ts'
import { beginFrame, endFrame, FrameDecoder, skipTaggedFields } from './framing.ts'
import { apis, type Api } from './messages/index.ts'

export type { Login }

export interface KafkaConnectionOptions {
  clientId?: string
  /** A larger answer is a breach of the protocol. */
  frameBytesMax?: number
  /** How to say who one is; undefined where nobody asks. */
  login?: Login | undefined
}

/** The broker does not take the login. */
export class LoginRefused extends Error {
  override name = 'LoginRefused'
}

interface Waiting {
  api: Api
  version: number
  correlationId: number
  resolve(answer: unknown): void
  reject(error: Error): void
}

/** Of an answer's header, the correlation id at least. */
const answerHeaderBytesMin = 4

/**
 * The asking side of the protocol, from the same declarations as the answering one: for tools and tests.
 *
 * Requests may be sent without waiting for the answers of earlier ones. When the connection is gone, all that wait reject.
 */
export class KafkaConnection {
  readonly #connection: Connection
  readonly #clientId: string
  readonly #frames: FrameDecoder
  readonly #waiting: Waiting[] = []
  #offered = new Map<number, { min: number; max: number }>()
  #correlationId = 0
  #gone: Error | undefined

  /** Asks for the versions that the broker offers. Rejects with `ProtocolError`, or with what closed the connection. */
  static async open(connection: Connection, options: KafkaConnectionOptions = {}): Promise<KafkaConnection> {
    const opened = new KafkaConnection(connection, options)
    const answer = await opened.request(
      apis.apiVersions,
      { clientSoftwareName: 'dragoman', clientSoftwareVersion: '0' },
      3,
    )
    if (answer.errorCode !== codes.none)
      throw new ProtocolError(`The broker refuses to name its versions: error ${answer.errorCode}`)
    for (const { apiKey, minVersion, maxVersion } of answer.apiKeys)
      opened.#offered.set(apiKey, { min: minVersion, max: maxVersion })
    if (options.login !== undefined) await opened.logIn(options.login)
    return opened
  }

  /** Says who we are; also again, before the time of an earlier login is over. Rejects with `LoginRefused`. */
  async logIn(login: Login): Promise<void> {
    const { mechanism } = login
    const { errorCode, mechanisms } = await this.request(apis.saslHandshake, { mechanism })
    if (errorCode !== codes.none) {
      const offered = mechanisms.length === 0 ? 'none: it knows no users' : mechanisms.join(', ')
      throw new LoginRefused(`The broker does not take ${mechanism}; it takes ${offered}`)
    }
    await logIn(login, async message => {
      const answer = await this.request(apis.saslAuthenticate, { authBytes: message })
      if (answer.errorCode !== codes.none) throw new LoginRefused(answer.errorMessage ?? 'The broker refuses the login')
      return answer.authBytes
    })
  }

  private constructor(
    connection: Connection,
    { clientId = 'dragoman', frameBytesMax = 2 ** 30 }: KafkaConnectionOptions,
  ) {
    this.#connection = connection
    this.#clientId = clientId
    this.#frames = new FrameDecoder({ frameBytesMax }, answerHeaderBytesMin)
    connection.handle({
      data: chunk => this.#receive(chunk),
      ended: () => this.#end(new Error('The broker closed the connection')),
      drained: () => {},
      closed: error => this.#end(error ?? new Error('The connection is closed')),
    })
  }

  /**
   * Sends a request and resolves with its answer, error codes and all. Without `version`, the newest one that both sides know.
   * Buffers in the answer are its own.
   */
  async request<Q extends Codec<unknown>, A extends Codec<unknown>>(
    api: Api<Q, A>,
    body: Write<Q>,
    version = this.versionOf(api),
  ): Promise<Infer<A>> {
    if (this.#gone !== undefined) throw this.#gone
    const correlationId = ++this.#correlationId
    this.#connection.write(encodeRequest(api, version, correlationId, this.#clientId, body))
    return new Promise<Infer<A>>((resolve, reject) => {
      this.#waiting.push({ api, version, correlationId, resolve: answer => resolve(answer as Infer<A>), reject })
    })
  }

  /** Sends a request that has no answer: produce with acks 0. */
  send<Q extends Codec<unknown>>(api: Api<Q>, body: Write<Q>, version = this.versionOf(api)): void {
    this.#connection.write(encodeRequest(api, version, ++this.#correlationId, this.#clientId, body))
  }

  /** The newest version that both sides know. Throws `ProtocolError` when there is none. */
  versionOf(api: Api): number {
    const offered = this.#offered.get(api.key)
    const version = Math.min(offered?.max ?? -1, api.versions[1])
    if (offered === undefined || version < Math.max(offered.min, api.versions[0])) {
      throw new ProtocolError(`The broker offers no version of ${api.name} that is known here`)
    }
    return version
  }

  close(): void {
    this.#end(new Error('The connection is closed'))
    this.#connection.end()
  }

  #receive(chunk: Buffer): void {
    if (this.#gone !== undefined) return
    try {
      this.#frames.push(chunk, frame => this.#answer(new Reader(Buffer.from(frame.rest()))))
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)))
      this.#connection.destroy()
    }
  }

  #answer(reader: Reader): void {
    const waiting = this.#waiting.shift()
    const correlationId = reader.i32()
    if (waiting?.correlationId !== correlationId) {
      if (waiting !== undefined) this.#waiting.unshift(waiting)
      throw new ProtocolError(`Cannot take an answer with correlation id ${correlationId}`)
    }
    const { api, version } = waiting
    try {
      if (version >= api.flexible && api.key !== apis.apiVersions.key) skipTaggedFields(reader)
      waiting.resolve(api.response.read(reader, version))
    } catch (error) {
      waiting.reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #end(error: Error): void {
    this.#gone ??= error
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
  }
}

/** A whole request, in parts where the body refers to large bytes. */
export function encodeRequest<Q extends Codec<unknown>>(
  api: Api<Q>,
  version: number,
  correlationId: number,
  clientId: string | null,
  body: Write<Q>,
): Buffer[] {
  const out = new Writer()
  beginFrame(out)
  out.i16(api.key)
  out.i16(version)
  out.i32(correlationId)
  out.nullableString16(clientId)
  if (version >= api.flexible) out.u8(0)
  api.request.write(out, body, version)
  return endFrame(out)
}
