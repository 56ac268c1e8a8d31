import type { Broker } from '../../core/broker.ts'
import { NotLoaded } from '../../core/lists/elements.ts'
import type { NamespaceAccess, NamespacePermission } from '../../core/identity/namespace-access.ts'
import { anonymous } from '../../core/identity/permissions.ts'
import { storageFull } from '../../core/refusals.ts'
import { Fenced } from '../../storage/errors.ts'
import type { Outbox, Session, SessionContext } from '../protocol.ts'
import { Answers } from './answers.ts'
import type { Args, Client, CommandSpec } from './commands/command.ts'
import { runTellingMisses } from './commands/misses.ts'
import { keysOf } from './commands/registry.ts'
import { commandOf } from './commands/table.ts'
import { answerToError, CommandError } from './errors.ts'
import { strangerBytesMax, type Command, type Packet } from './framing.ts'
import type { Keyspace } from './keyspace.ts'
import type { Profile } from './profile.ts'
import type { ReplyWriter } from './reply.ts'
import { Server, type Peer } from './server.ts'
import { dropWork } from './streams/stream-client.ts'
import { Subscriptions } from './subscriptions.ts'
import { Transaction } from './transaction.ts'
import type { Wait, Waiter } from './waiting.ts'

/** Timers look again after this. */
const waitMsMax = 3_600_000

/**
 * One connection.
 *
 * Commands are carried out in their order, at once, and answered in it. One that waits (for elements, for the disk to be read, for a password to be
 * checked) holds up those behind it; answers wait for the block of what they tell of.
 *
 * Invariant: `#later` is empty unless `#isBlocked`.
 */
export class RespSession implements Session<Packet>, Client, Peer {
  readonly id: number
  readonly broker: Broker
  readonly namespace: string
  readonly server: Server
  readonly keys: Keyspace
  readonly context: SessionContext
  readonly profile: Profile
  readonly transaction = new Transaction<CommandSpec>()
  readonly subscriptions: Subscriptions
  readonly reply: ReplyWriter
  isExecuting = false
  /** Answers that are not wanted. */
  replyMode: Client['replyMode'] = 'on'
  feeds = false
  readonly muted = false
  readonly #outbox: Outbox
  readonly #answers: Answers
  readonly #frameBytesMax: number
  #ratedAccess: Profile['access']
  #ratedRights: NamespaceAccess | undefined
  #later: Command[] = []
  #isBlocked = false
  #isRunning = false
  #isEnding = false
  #isClosed = false
  #waiter: Blocked | undefined
  /** Of who has not logged in yet. */
  #cancelTimeout: (() => void) | undefined

  constructor(broker: Broker, outbox: Outbox, context: SessionContext) {
    const { clock, random, limits } = context
    this.broker = broker
    this.context = context
    this.server = Server.of(broker, random, clock)
    this.keys = this.server.keys
    this.namespace = this.keys.namespace
    this.id = this.server.nextId()
    this.server.connectionsEver++
    this.server.sessions.set(this.id, this)
    this.#outbox = outbox
    this.#answers = new Answers(broker, outbox)
    this.reply = this.#answers.reply
    this.reply.onError = this.server.countError
    this.subscriptions = new Subscriptions(this, this.server.pubsub, bytes => this.#deliver(bytes))
    const nowMs = clock.monotonicMs()
    const access = broker.identity.settings.isRequired
      ? undefined
      : broker.identity.access(anonymous, 'none', context.remote.host)
    this.profile = {
      name: '',
      libraryName: '',
      libraryVersion: '',
      user: 'default',
      access,
      connectedMs: nowMs,
      activeMs: nowMs,
      lastCommand: '',
      commandCount: 0,
    }
    this.#frameBytesMax = limits.frameBytesMax
    if (!access) this.loggedOut()
  }

  get inFlight(): number {
    return this.#answers.waitingCount + this.#later.length + (this.#waiter && this.#later.length > 0 ? 1 : 0)
  }

  get nowMs(): number {
    return this.context.clock.nowMs()
  }

  get isBlocked(): boolean {
    return this.#waiter !== undefined
  }

  get isOver(): boolean {
    return this.#isClosed || this.#isEnding
  }

  get protocolVersion(): 2 | 3 {
    return this.reply.version
  }

  get queuedCount(): number {
    return this.transaction.isOpen ? this.transaction.commands.length : -1
  }

  get watchedCount(): number {
    return this.transaction.watchedCount
  }

  get queuedBytes(): number {
    return this.#outbox.queuedBytes + this.#answers.waitingBytes
  }

  receive({ commands, problem }: Packet): void {
    if (this.#isClosed || this.#isEnding) return
    this.profile.activeMs = this.context.clock.monotonicMs()
    this.#isRunning = true
    for (const command of commands) {
      if (this.#isEnding) break
      if (this.#isBlocked) this.#later.push(command.map(part => Buffer.from(part)))
      else this.#begin(command)
    }
    this.#isRunning = false
    if (problem !== undefined && !this.#isEnding) {
      this.reply.error(`ERR Protocol error: ${problem}`)
      this.end()
    }
    this.#answers.flush()
  }

  leave(): void {
    // Who waits for something is not going to get it.
    if (this.#waiter) this.end()
  }

  closed(): void {
    this.#isClosed = true
    this.#cancelTimeout?.()
    this.#answers.close()
    this.#giveUp()
    this.server.sessions.delete(this.id)
  }

  // What handlers do with their connection

  block(wait: Wait): void {
    const { clock } = this.context
    this.#isBlocked = true
    const refuse = (error: unknown): void => this.reply.error(answerToError(error))
    const blocked = new Blocked(wait, this.keys, refuse, () => this.#unblocked(blocked))
    this.#waiter = blocked
    this.keys.await(blocked)
    if (wait.timeoutMs === 0) return
    const endMs = clock.monotonicMs() + wait.timeoutMs
    const arm = (): void => {
      const leftMs = Math.max(endMs - clock.monotonicMs(), wait.isBusy?.() === true ? 1 : 0)
      if (leftMs > 0) blocked.cancelTimer = clock.after(Math.min(leftMs, waitMsMax), arm)
      else if (!this.unblock()) blocked.cancelTimer = clock.after(1, arm)
    }
    arm()
  }

  /** Ends the waiting as if its time were over, or with an error. Whether there was any. */
  unblock(error?: string): boolean {
    const waiter = this.#waiter
    if (!waiter || waiter.wait.abandon?.() === false) return false
    if (error === undefined) waiter.wait.timedOut()
    else this.reply.error(error)
    waiter.served()
    return true
  }

  durableWith(seq: number): void {
    this.#answers.durableWith(seq)
  }

  demand(permission: NamespacePermission, name: string): void {
    if (this.#rights?.may(permission, name) === true) return
    throw new CommandError('NOPERM No permissions to access a key')
  }

  /** Holds up what is behind until `run` has called its `done`. */
  pause(run: (done: () => void) => void): void {
    this.#isBlocked = true
    run(() => this.#goOn())
  }

  /** The user has proved who they are. */
  loggedIn(user: string, access: NonNullable<Profile['access']>): void {
    this.profile.user = user
    this.profile.access = access
    this.#cancelTimeout?.()
    this.context.limits.frameBytesMax = this.#frameBytesMax
  }

  /** Nobody knows who the client is: it can ask for little until it says so, and has so long for it. */
  loggedOut(): void {
    const { profile, context, broker } = this
    profile.user = 'default'
    profile.access = undefined
    context.limits.frameBytesMax = Math.min(strangerBytesMax, this.#frameBytesMax)
    this.#cancelTimeout?.()
    this.#cancelTimeout = context.clock.after(broker.identity.settings.authenticationMs, () => {
      context.log('info', 'Connection closed: the client did not log in in time', { remote: context.remote })
      this.end()
    })
  }

  /** Closes the connection when all that was answered has been sent. */
  end(): void {
    this.#isEnding = true
    this.#giveUp()
    this.#answers.whenSent(() => {
      if (!this.#isClosed) this.#outbox.close()
    })
  }

  /** Nothing is taken any more for who will not hear of it. */
  #giveUp(): void {
    this.#later = []
    this.#waiter?.wait.abandon?.()
    this.#waiter?.cancel()
    this.#waiter = undefined
    this.#cancelSoft()
    this.subscriptions.clear()
    this.transaction.unwatch()
  }

  // Commands

  get #rights(): NamespaceAccess | undefined {
    const { access } = this.profile
    if (access === undefined) return undefined
    if (access !== this.#ratedAccess) {
      this.#ratedAccess = access
      this.#ratedRights = this.broker.identity.inNamespace(access, this.namespace)
    }
    return this.#ratedRights
  }

  #begin(args: Args): void {
    const { reply } = this
    if (this.replyMode !== 'on') this.#applyReplyMode()
    const spec = this.#specOf(args)
    if (!spec) return
    if (this.transaction.isOpen && !spec.flags.includes('no_multi')) {
      this.transaction.queue(spec, args)
      return reply.simple('QUEUED')
    }
    this.execute(spec, args)
    // Those who wait have what came before anything that comes later.
    this.keys.serve()
    if (this.replyMode === 'skip') this.replyMode = 'on'
    reply.isOn = this.replyMode !== 'off'
  }

  #applyReplyMode(): void {
    if (this.replyMode === 'skip-next') this.replyMode = 'skip'
    this.reply.isOn = false
  }

  /** The command, if it may be carried out; else the error is written. */
  #specOf(args: Args): CommandSpec | undefined {
    const found = commandOf(args)
    let problem = typeof found === 'string' ? found : this.#refusalOf(found, args)
    if (problem === undefined && typeof found !== 'string') return found
    problem ??= 'ERR'
    const isExec = args[0]!.length === 4 && args[0]!.toString('latin1').toLowerCase() === 'exec'
    if (isExec) {
      this.transaction.end()
      problem = `EXECABORT Transaction discarded because of: ${problem.replace(/^ERR /, '')}`
    } else if (this.transaction.isOpen) this.transaction.fail()
    this.reply.error(problem)
    if (isRequestOfBrowser(args)) this.end()
    return undefined
  }

  #refusalOf(spec: CommandSpec, args: Args): string | undefined {
    const { access } = this.profile
    if (!access && !spec.flags.includes('no_auth')) return 'NOAUTH Authentication required.'
    if (this.reply.version === 2 && this.subscriptions.count > 0 && !allowedWhileSubscribed.has(spec.name)) {
      const name = args[0]!.toString('latin1').toLowerCase()
      return `ERR Can't execute '${name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
    }
    try {
      this.#demandKeys(spec, args)
    } catch (error) {
      return answerToError(error)
    }
    return undefined
  }

  #demandKeys(spec: CommandSpec, args: Args): void {
    if ((!spec.keys && !spec.keysOf) || this.#rights?.mayAll === true) return
    const rights = spec.rights ?? (spec.flags.includes('readonly') ? readRights : writeRights)
    for (const at of keysOf(spec, args)) {
      const key = args[at]
      if (key) for (const right of rights) this.demand(right, key.toString())
    }
  }

  /** Carries a command out, and writes its answer. */
  execute(spec: CommandSpec, args: Args): void {
    const { reply, server, profile } = this
    server.commandsEver++
    profile.commandCount++
    profile.lastCommand = spec.name
    if (!this.feeds && spec.flags.includes('write')) this.feeds = true
    try {
      if (this.broker.cell.isFull && spec.flags.includes('denyoom')) throw storageFull()
      if (this.keys.events.tellsMisses) runTellingMisses(this, spec, args)
      else spec.run!(this, args)
    } catch (error) {
      if (error instanceof NotLoaded) return this.#again(error, spec, args)
      if (error instanceof Fenced) reply.error('LOADING The broker is shutting down')
      else reply.error(answerToError(error))
    }
    if (!spec.isVolatile) this.#answers.durableWith(this.broker.ledger.lastSeq)
  }

  /** What the command needs is read; then it is carried out. */
  #again(missing: NotLoaded, spec: CommandSpec, args: Args): void {
    if (this.isExecuting)
      return this.reply.error('ERR what the command needs is not in memory, and cannot be read within a transaction')
    const kept = args.map(part => Buffer.from(part))
    this.pause(done => {
      missing.load(() => {
        if (this.isOver) return
        this.#isBlocked = false
        this.execute(spec, kept)
        this.keys.serve()
        if (this.#isBlocked) return this.#answers.flush()
        dropWork(this)
        done()
      })
    })
  }

  #unblocked(waiter: Blocked): void {
    if (this.#waiter === waiter) this.#waiter = undefined
    this.#answers.durableWith(this.broker.ledger.lastSeq)
    // Who serves is in the middle of something.
    this.context.clock.soon(() => this.#goOn())
    if (!this.#isRunning) this.#answers.flush()
  }

  #goOn(): void {
    if (this.#isClosed || this.#waiter) return
    this.#isBlocked = false
    this.#isRunning = true
    while (this.#later.length > 0 && !this.#isBlocked && !this.#isEnding) {
      const later = this.#later
      this.#later = []
      for (let at = 0; at < later.length; at++) {
        this.#begin(later[at]!)
        if (!this.#isBlocked) continue
        this.#later = [...later.slice(at + 1), ...this.#later]
        break
      }
    }
    this.#isRunning = false
    this.#answers.flush()
    this.#outbox.progress()
  }

  #deliver(bytes: Buffer): void {
    if (this.#isEnding) return
    const { hardBytes, softBytes } = this.server.outputLimit
    const waiting = this.queuedBytes
    // What alone is more than that is for those who take what they are sent, too.
    if (waiting > hardBytes) return this.#tooSlow(waiting)
    this.#answers.deliver(bytes)
    const queued = this.queuedBytes
    if (softBytes === 0 || queued <= softBytes) this.#cancelSoft()
    else this.#softTimer ??= this.#afterSoft()
  }

  /** The subscriber has left much unread since then. */
  #softTimer: (() => void) | undefined

  #cancelSoft(): void {
    this.#softTimer?.()
    this.#softTimer = undefined
  }

  #afterSoft(): () => void {
    const { softSeconds } = this.server.outputLimit
    return this.context.clock.after(Math.min(softSeconds * 1000, waitMsMax), () => {
      this.#softTimer = undefined
      const { softBytes } = this.server.outputLimit
      const queued = this.queuedBytes
      if (softBytes > 0 && queued > softBytes && !this.#isEnding) this.#tooSlow(queued)
    })
  }

  /** It loses what is on its way to it, as it would with any other end of its connection. */
  #tooSlow(queuedBytes: number): void {
    const { context, profile, subscriptions, server } = this
    context.log('warn', 'Connection closed: a subscriber does not take what is published', {
      remote: context.remote,
      name: profile.name,
      user: profile.user,
      channels: subscriptions.count,
      queuedBytes,
    })
    server.closedSubscribers.count++
    this.#isEnding = true
    this.#giveUp()
    this.#outbox.destroy()
  }
}

/** A command that waits for its keys. */
class Blocked implements Waiter {
  readonly wait: Wait
  cancelTimer: (() => void) | undefined
  readonly #keys: Keyspace
  readonly #refuse: (error: unknown) => void
  readonly #over: () => void

  constructor(wait: Wait, keys: Keyspace, refuse: (error: unknown) => void, over: () => void) {
    this.wait = wait
    this.#keys = keys
    this.#refuse = refuse
    this.#over = over
  }

  served(): void {
    this.cancel()
    this.#over()
  }

  refused(error: unknown): void {
    this.#refuse(error)
    this.served()
  }

  cancel(): void {
    this.cancelTimer?.()
    this.#keys.forget(this)
  }
}

const readRights: readonly NamespacePermission[] = ['read']
const writeRights: readonly NamespacePermission[] = ['write']

const allowedWhileSubscribed = new Set([
  'subscribe',
  'psubscribe',
  'ssubscribe',
  'unsubscribe',
  'punsubscribe',
  'sunsubscribe',
  'ping',
  'quit',
  'reset',
])

/** Lines of HTTP: somebody makes a browser send commands. [networking.c, securityWarningCommand] */
function isRequestOfBrowser(args: Args): boolean {
  const first = args[0]!.toString('latin1', 0, 8).toLowerCase()
  return first === 'post' || first === 'host:'
}
