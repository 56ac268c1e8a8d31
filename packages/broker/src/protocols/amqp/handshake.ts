import { ProtocolError, Reader } from '@dragoman/wire'
import type { Broker } from '../../core/broker.ts'
import type { Access } from '../../core/identity/authorizer.ts'
import type { Proof } from '../../core/identity/identity.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import type { SaslExchange, SaslMechanism, SaslStep } from '../../core/identity/sasl/mechanism.ts'
import type { SessionContext } from '../protocol.ts'
import { capabilitiesOf, type Capabilities } from './connection.ts'
import { AmqpException } from './errors.ts'
import type { Known } from './login.ts'
import {
  connectionOpen,
  connectionOpenOk,
  connectionSecure,
  connectionSecureOk,
  connectionStart,
  connectionStartOk,
  connectionTune,
  connectionTuneOk,
} from './messages/connection.ts'
import type { Method } from './messages/method.ts'
import { fieldOf, table, type Table } from './table.ts'

/** What is offered. A heartbeat is in seconds. */
const offered = { channelMax: 2047, frameMax: 131_072, heartbeat: 60 }
const frameMin = 4096
const channelMin = 1

/** A mechanism that is no matter of the core: how older clients write a name and a password. */
const amqplain = 'AMQPLAIN'
const bearer = 'OAUTHBEARER'
/** Three parts with dots between them. [RFC 7515, 3.1] */
const tokenForm = /^[\w-]+\.[\w-]+\.[\w-]+$/
/** The client's certificate says who it is. */
const external = 'EXTERNAL'

export interface HandshakeHost {
  readonly broker: Broker
  readonly context: SessionContext
  send<W>(method: Method<unknown, W>, fields: W): void
  /** `failed` is told to the client, if that wants to know; it is sent away. */
  refused(explanation: string, told: boolean): void
  tuned(frameMax: number): void
  done(agreed: Agreed): void
  fail(error: unknown, failed: Method): void
}

/** What both sides know when the connection is open. */
export interface Agreed {
  readonly user: string
  readonly known: Known
  readonly access: Access
  readonly namespace: string
  readonly mechanism: string
  readonly clientProperties: Table
  readonly capabilities: Capabilities
  readonly frameMax: number
  readonly channelMax: number
  /** In seconds; 0: none. */
  readonly heartbeat: number
}

type State =
  | 'starting'
  /** The client's words are looked at, which can take a moment. */
  | 'busy'
  | 'securing'
  /** The client has proved who it is, and is told the same of the server; it has to say that it knows. */
  | 'proven'
  | 'tuning'
  | 'opening'
  | 'over'

/**
 * How a connection begins.
 *
 *   starting --start-ok--> busy --(secure, secure-ok)--> tuning --tune-ok--> opening --open--> over
 *
 * [AMQP 0-9-1, 2.2.4]
 */
export class Handshake {
  readonly #host: HandshakeHost
  #state: State = 'starting'
  #exchange: SaslExchange | undefined
  #mechanism = ''
  #proof: Proof = 'none'
  #clientProperties: Table = []
  #capabilities = capabilitiesOf([])
  #known: Known | undefined
  #tuned = { channelMax: 0, frameMax: 0, heartbeat: 0 }

  constructor(host: HandshakeHost) {
    this.#host = host
  }

  get clientProperties(): Table {
    return this.#clientProperties
  }

  begin(): void {
    const { broker } = this.#host
    this.#host.send(connectionStart, {
      versionMajor: 0,
      versionMinor: 9,
      serverProperties: serverProperties(broker),
      mechanisms: this.#mechanisms().join(' '),
      locales: 'en_US',
    })
  }

  /** Takes a method of channel 0. Throws `AmqpException`, and `ProtocolError` for what is malformed. */
  receive(method: Method, fields: Reader): void {
    const state = this.#state
    if (method === connectionStartOk && state === 'starting') return this.#startOk(connectionStartOk.codec.read(fields))
    if (method === connectionSecureOk && state === 'securing') {
      return this.#next(connectionSecureOk.codec.read(fields).response)
    }
    // What the client says to our own proof is nothing. [RFC 4422, 4]
    if (method === connectionSecureOk && state === 'proven') return this.#tune()
    if (method === connectionTuneOk && state === 'tuning') return this.#tuneOk(connectionTuneOk.codec.read(fields))
    if (method === connectionOpen && state === 'opening')
      return this.#open(connectionOpen.codec.read(fields).virtualHost)
    throw new AmqpException('channelError', `unexpected method ${method.name} in connection state ${state}`)
  }

  /** Ways to log in, in the words of the protocol. */
  #mechanisms(): string[] {
    const { broker, context } = this.#host
    const { mechanisms, isRequired } = broker.identity
    // Where nobody must log in, any name and password will do; and tokens come as passwords.
    const takesPlain = !isRequired || mechanisms.includes(bearer)
    const known: readonly string[] = takesPlain && !mechanisms.includes('PLAIN') ? ['PLAIN', ...mechanisms] : mechanisms
    const names = known.flatMap(name => (name === 'PLAIN' ? [name, amqplain] : [name]))
    return context.tls?.subject === undefined ? names : [external, ...names]
  }

  #startOk({
    clientProperties,
    mechanism,
    response,
  }: {
    clientProperties: Table
    mechanism: string
    response: Buffer
  }): void {
    this.#clientProperties = clientProperties
    this.#capabilities = capabilitiesOf(clientProperties)
    this.#mechanism = mechanism
    if (!this.#mechanisms().includes(mechanism)) {
      throw new AmqpException('commandInvalid', `unknown authentication mechanism '${mechanism}'`)
    }
    if (mechanism === external) return this.#certified()
    const data = mechanism === amqplain ? fromAmqplain(response) : response
    const name = mechanism === amqplain ? 'PLAIN' : (mechanism as SaslMechanism)
    if (name !== 'PLAIN') return this.#attempt(name, data)
    if (this.#isWelcome(data)) return this.#tune()
    const token = this.#tokenIn(data)
    if (token !== undefined) return this.#attempt(bearer, Buffer.from(`n,,\u0001auth=Bearer ${token}\u0001\u0001`))
    this.#attempt(name, data)
  }

  #attempt(name: SaslMechanism, data: Buffer): void {
    const { broker, context } = this.#host
    this.#proof = name === bearer ? 'token' : 'password'
    this.#exchange = broker.identity.exchange(name, context.remote.host)
    this.#next(data)
  }

  /** Clients of this protocol show a token as the password of a user that there is not. */
  #tokenIn(plain: Buffer): string | undefined {
    const { identity } = this.#host.broker
    const [, user = '', password = ''] = plain.toString().split('\0')
    const isToken = identity.mechanisms.includes(bearer) && tokenForm.test(password)
    return isToken && identity.user(user) === undefined ? password : undefined
  }

  #certified(): void {
    const { broker, context } = this.#host
    const { subject } = context.tls ?? {}
    if (subject === undefined) throw new AmqpException('commandInvalid', 'the client has shown no certificate')
    this.#known = { user: broker.identity.certificateName(subject), proof: 'certificate', expiresMs: undefined }
    this.#tune()
  }

  /** Nobody must log in, and there is no such user: whoever comes is let in under the name that they give. */
  #isWelcome(plain: Buffer): boolean {
    const { identity } = this.#host.broker
    const [, user = ''] = plain.toString().split('\0')
    if (identity.isRequired || identity.user(user) !== undefined) return false
    this.#known = { user: user === '' ? anonymous : user, proof: 'none', expiresMs: undefined }
    return true
  }

  #next(response: Buffer): void {
    const exchange = this.#exchange
    if (!exchange) throw new AmqpException('channelError', 'there is nothing to answer')
    this.#state = 'busy'
    Promise.resolve(exchange.next(response)).then(
      step => this.#step(step),
      (error: unknown) => this.#host.fail(error, connectionStartOk),
    )
  }

  #step(step: SaslStep): void {
    if (this.#state !== 'busy') return
    if (step.kind !== 'challenge') this.#host.broker.identity.attempts.note('amqp', step.kind === 'success')
    if (step.kind === 'success') {
      this.#known = { user: step.principal, proof: this.#proof, expiresMs: step.expiresMs }
      if (step.data.length === 0) return this.#tune()
      this.#state = 'proven'
      return this.#host.send(connectionSecure, { challenge: step.data })
    }
    if (step.kind === 'challenge') {
      // That a token is refused is told so; who showed it as a password knows nothing of that. [RFC 7628, 3.2.3]
      if (this.#proof === 'token' && this.#mechanism !== bearer) return this.#next(Buffer.of(1))
      this.#state = 'securing'
      return this.#host.send(connectionSecure, { challenge: step.data })
    }
    this.#state = 'over'
    const { broker, context } = this.#host
    const { remote } = context
    context.log('info', 'Login refused', { remote, mechanism: this.#mechanism, reason: step.reason })
    const explanation = `Login was refused using authentication mechanism ${this.#mechanism}. For details see the broker logfile.`
    context.clock.after(broker.identity.guesses.wrong(remote.host), () => {
      this.#host.refused(explanation, this.#capabilities.authenticationFailureClose)
    })
  }

  #tune(): void {
    this.#exchange = undefined
    this.#state = 'tuning'
    this.#host.send(connectionTune, this.#offer)
  }

  get #offer(): typeof offered {
    const { frameBytesMax } = this.#host.broker.limits
    return { ...offered, frameMax: Math.max(frameMin, Math.min(offered.frameMax, frameBytesMax)) }
  }

  #tuneOk(wanted: typeof offered): void {
    const offer = this.#offer
    checkAgreed('frame_max', frameMin, offer.frameMax, wanted.frameMax)
    checkAgreed('channel_max', channelMin, offer.channelMax, wanted.channelMax)
    this.#tuned = wanted
    this.#state = 'opening'
    this.#host.tuned(wanted.frameMax)
  }

  #open(virtualHost: string): void {
    const { broker, context } = this.#host
    const known = this.#known
    if (!known) throw new AmqpException('notAllowed', 'nobody has logged in')
    const principal = known.proof === 'none' ? anonymous : known.user
    const access = broker.identity.access(principal, known.proof, context.remote.host)
    checkLimits(broker, virtualHost, known.user)
    if (!broker.identity.inNamespace(access, virtualHost).mayEnter()) {
      throw new AmqpException('notAllowed', `access to vhost '${virtualHost}' refused for user '${known.user}'`)
    }
    this.#state = 'over'
    this.#host.send(connectionOpenOk, {})
    this.#host.done({
      user: known.user,
      known,
      access,
      namespace: virtualHost,
      mechanism: this.#mechanism,
      clientProperties: this.#clientProperties,
      capabilities: this.#capabilities,
      ...this.#tuned,
    })
  }
}

/** Throws when there is no such namespace, or there are too many connections to it or of the user. */
function checkLimits({ namespaces, connections, identity }: Broker, namespace: string, user: string): void {
  if (!namespaces.has(namespace)) throw new AmqpException('notAllowed', `vhost ${namespace} not found`)
  const namespaceMax = namespaces.limitOf(namespace, 'connections')
  if (namespaceMax !== undefined && connections.count({ namespace }) >= namespaceMax) {
    const explanation = `access to vhost '${namespace}' refused for user '${user}': connection limit (${namespaceMax}) is reached`
    throw new AmqpException('notAllowed', explanation)
  }
  const userMax = identity.user(user)?.limits?.get('connections')
  if (userMax !== undefined && connections.count({ user }) >= userMax) {
    const explanation = `connection refused for user '${user}': user connection limit (${userMax}) is reached`
    throw new AmqpException('notAllowed', explanation)
  }
}

/** AMQPLAIN is a table without its size; the core is told as PLAIN writes it. */
function fromAmqplain(response: Buffer): Buffer {
  const sized = Buffer.concat([Buffer.alloc(4), response])
  sized.writeUInt32BE(response.length)
  const fields = table.read(new Reader(sized))
  const textOf = (name: string): string => {
    const field = fieldOf(fields, name)
    if (field?.type !== 'S' || typeof field.value !== 'string') {
      throw new AmqpException('syntaxError', 'AMQPLAIN auth info is missing LOGIN or PASSWORD')
    }
    return field.value
  }
  const [user, password] = [textOf('LOGIN'), textOf('PASSWORD')]
  if (`${user}${password}`.includes('\0')) throw new ProtocolError('A name or a password has a NUL in it')
  return Buffer.from(`\0${user}\0${password}`)
}

/** 0 is no limit. */
function checkAgreed(field: string, min: number, max: number, wanted: number): void {
  const problem = (than: string, which: string, value: number): AmqpException => {
    const detail = wanted === 0 ? ' (no limit)' : ''
    const explanation = `negotiated ${field} = ${wanted}${detail} is ${than} than the ${which} allowed value (${value})`
    return new AmqpException('notAllowed', explanation)
  }
  if (wanted !== 0 && wanted < min) throw problem('lower', 'minimum', min)
  if (wanted === 0 || wanted > max) throw problem('higher', 'maximum', max)
}

/** What we are, and which extensions there are. Names are those that clients look for. */
function serverProperties(broker: Broker): Table {
  const text = (name: string, value: string) => ({ name, type: 'S', value }) as const
  const yes = (name: string) => ({ name, type: 't', value: true }) as const
  return [
    {
      name: 'capabilities',
      type: 'F',
      value: [
        yes('publisher_confirms'),
        yes('exchange_exchange_bindings'),
        yes('basic.nack'),
        yes('consumer_cancel_notify'),
        yes('connection.blocked'),
        yes('consumer_priorities'),
        yes('authentication_failure_close'),
        yes('per_consumer_qos'),
        yes('direct_reply_to'),
      ],
    },
    text('cluster_name', `dragoman@${broker.clusterId.toString('hex')}`),
    text(
      'information',
      'This is Dragoman. It behaves as the product that it names, for clients that know only that one',
    ),
    text('platform', 'Dragoman'),
    text('product', compatible.product),
    text('version', compatible.version),
  ]
}

/** Clients decide by these what they may do; Celery, for one, how it asks for messages. It behaves as that one. */
const compatible = { product: 'RabbitMQ', version: '3.13.7' } as const
