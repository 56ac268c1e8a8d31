import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { startBroker, type BrokerOptions, type RunningBroker } from '../../../main.ts'

/** Whatever the API shows: JSON is of no type. */
export type Shown = ReturnType<JSON['parse']>

export interface Reply {
  readonly status: number
  readonly body: unknown
  readonly text: string
  readonly headers: Headers
}

/** Asks the management API of a broker, as `user` (guest, unless it says otherwise). */
export class TestClient {
  readonly broker: RunningBroker
  readonly #base: string

  constructor(broker: RunningBroker) {
    this.broker = broker
    this.#base = `http://127.0.0.1:${broker.port('management')}`
  }

  static async start(t: TestContext, options: BrokerOptions = {}): Promise<TestClient> {
    const broker = await startBroker({ data: 'memory', management: 0, ...options })
    t.after(() => broker.close())
    return new TestClient(broker)
  }

  async ask(method: string, path: string, body?: unknown, user = 'guest:guest'): Promise<Reply> {
    const response = await fetch(this.#base + path, {
      method,
      headers: {
        'content-type': 'application/json',
        ...(user === '' ? {} : { authorization: `Basic ${Buffer.from(user).toString('base64')}` }),
      },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await response.text()
    const isJson = response.headers.get('content-type') === 'application/json'
    return { status: response.status, text, body: isJson ? JSON.parse(text) : undefined, headers: response.headers }
  }

  async get(path: string, user?: string): Promise<Shown> {
    const { status, text, body } = await this.ask('GET', path, undefined, user)
    assert.equal(status, 200, `${path}: ${text}`)
    return body
  }

  async status(method: string, path: string, body?: unknown, user?: string): Promise<number> {
    return (await this.ask(method, path, body, user)).status
  }

  async reason(method: string, path: string, body?: unknown, user?: string): Promise<string> {
    const reply = await this.ask(method, path, body, user)
    assert(reply.status >= 400, `${path}: ${reply.status}`)
    return String((reply.body as { reason: string }).reason)
  }
}
