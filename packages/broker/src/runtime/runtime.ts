import type { Random } from '@dragoman/wire'

/**
 * The outside world, and the only place where the broker touches it: clock, randomness, disk and network.
 *
 * `real/` implements it on Node; `simulated/` implements it on a seed and virtual time. Everything above is concrete
 * code that runs unchanged on both. What is asynchronous here completes in a later turn, never within the call.
 */
export interface Runtime {
  readonly clock: Clock
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  /** Undefined where that cannot be known. */
  descriptors?(): Promise<Descriptors | undefined>
  /** What cannot be survived (a failed sync, a broken invariant): the real one logs and exits, the simulated one crashes the simulated process. */
  fatal(error: Error): void
}

/** Files and connections of the process that are open, and how many may be. */
export interface Descriptors {
  readonly open: number
  readonly max: number
}

export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  nowMs(): number
  /** Milliseconds since some fixed point; never goes back. */
  monotonicMs(): number
  /** How long the machine was suspended up to now, which `monotonicMs` does not count, to some 10 ms; only differences mean something. Absent: never. */
  suspendedMs?(): number
  /** Calls `run` once, `delayMs` from now at the earliest. */
  after(delayMs: number, run: () => void): Cancel
  /** Calls `run` after the events that are already waiting have been handled: how work of one turn is gathered. */
  soon(run: () => void): void
}

export type Cancel = () => void

/** Paths are absolute or relative to the process; names are joined with '/'. Every method rejects with `DiskError`. */
export interface Disk {
  /** `create` makes the file when absent and fails when it exists; `write` opens an existing one; `dsync` adds O_DSYNC. */
  open(path: string, mode: 'read' | 'write' | 'create', options?: { dsync?: boolean }): Promise<DiskFile>
  /** Entries of a directory, in no order. An absent directory rejects with `not-found`. */
  list(path: string): Promise<string[]>
  /** Makes the directory and those above it that are missing, durably; one that exists is left as it is. */
  makeDirectory(path: string): Promise<void>
  /** Atomic within one file system; durable only after `syncDirectory` of both parents. */
  rename(source: string, target: string): Promise<void>
  /** The same within one directory, durably. Rejects with `full` when nothing has happened, and with `io` when nobody knows. */
  renameDurably(source: string, target: string): Promise<void>
  remove(path: string): Promise<void>
  /** Makes creations, renames and removals in this directory durable. */
  syncDirectory(path: string): Promise<void>
  /** Bytes that an ordinary process may still write on the file system of `path`. */
  freeBytes(path: string): Promise<number>
  /** Bytes that the file system of `path` holds at most. */
  totalBytes(path: string): Promise<number>
  /**
   * Claims `directory` for this process for as long as it lives.
   * Rejects with `DiskError` `locked` naming the holder's pid when another living process has it.
   */
  lock(directory: string): Promise<DiskLock>
}

export interface DiskFile {
  /** Writes all parts, one after the other, at `position`; resolves when the system call(s) returned (durable if opened with `dsync`). */
  write(parts: readonly Uint8Array[], position: number): Promise<void>
  /** Fills `target` from `position`; resolves with the count, short only at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>
  /** fdatasync. */
  sync(): Promise<void>
  truncate(size: number): Promise<void>
  size(): Promise<number>
  close(): Promise<void>
}

export interface DiskLock {
  release(): Promise<void>
}

export type DiskErrorCode = 'not-found' | 'exists' | 'full' | 'io' | 'denied' | 'locked'

/** A disk operation failed. `full` (no space, quota or descriptors) can pass; `io` cannot. */
export class DiskError extends Error {
  override name = 'DiskError'
  readonly code: DiskErrorCode
  constructor(code: DiskErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

export interface Network {
  /**
   * Port 0 takes any free port. With `tls`, connections are handed over when their handshake is done.
   * Rejects with `NetworkError` (`in-use`, `denied`, `unavailable`; with `tls` also `unusable`).
   */
  listen(address: Address, accept: (connection: Connection) => void, tls?: ListenerTls): Promise<Listener>
  /** Rejects with `NetworkError`; with `tls` also when the other side is not who it should be. */
  connect(address: Address, tls?: ClientTls): Promise<Connection>
  /** The text at an address that begins with `http://` or `https://`. Rejects with `NetworkError` when it does not come whole. */
  download(url: string, limits: { bytesMax: number; timeoutMs: number }): Promise<string>
}

/** A certificate and its key, in PEM. */
export interface TlsIdentity {
  readonly cert: string
  readonly key: string
}

export interface ListenerTls {
  readonly identity: TlsIdentity
  readonly settings: TlsListenerSettings
  /** Told of each handshake that failed, in words for an operator. */
  failed(remote: Address, reason: string): void
}

export interface TlsListenerSettings {
  /** Authorities of client certificates, in PEM; undefined: those that the system trusts. */
  readonly ca: string | undefined
  readonly clientAuth: 'none' | 'want' | 'require'
  readonly versionMin: '1.2' | '1.3'
  /** Further connections are closed at once. */
  readonly handshakesMax: number
  readonly handshakeTimeoutMs: number
}

export interface ClientTls {
  readonly identity?: TlsIdentity | undefined
  /** Authorities of the other side's certificate, in PEM; undefined: those that the system trusts. */
  readonly ca?: string | undefined
  /** Takes any certificate. */
  readonly isUnchecked?: boolean
}

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Listener {
  readonly address: Address
  /** With TLS: new connections get this certificate and these authorities. Throws `NetworkError` `unusable` and leaves all as it was. */
  renew?(identity: TlsIdentity, ca: string | undefined): void
  /** Stops accepting; connections already open stay. */
  close(): Promise<void>
}

/** A byte stream in both directions. Handlers are set once, right after it was accepted or connected. */
export interface Connection {
  readonly remote: Address
  /** Present when the connection is protected. */
  readonly tls?: ConnectionTls | undefined
  /** `chunk` is valid only during the call: what is kept is copied. `ended`: the peer sends no more. `closed`: nothing goes either way; called exactly once, last. */
  handle(handlers: { data(chunk: Buffer): void; ended(): void; drained(): void; closed(error?: Error): void }): void
  /** Queues the parts in order. Their bytes must not change until `written` is called (after the system took them, or the connection closed). */
  write(parts: readonly Uint8Array[], written?: () => void): void
  /** Bytes queued and not yet taken by the system. `drained` is called each time this falls back to 0 after it was above 64 KiB. */
  readonly queuedBytes: number
  pause(): void
  resume(): void
  /** Sends what is queued, then closes. Nothing more is handed over: only `closed` follows. */
  end(): void
  /** Closes at once. */
  destroy(): void
}

/** What is known of the other side of a protected connection. */
export interface ConnectionTls {
  /** `TLSv1.3` */
  readonly version: string
  /**
   * Subject of the certificate that the peer has proved to be its own and that an authority has issued, as RFC 2253 writes
   * it (`CN=app,O=Example`); undefined when it showed none.
   */
  readonly subject: string | undefined
}

export type NetworkErrorCode = 'in-use' | 'denied' | 'unavailable' | 'refused' | 'unusable'

export class NetworkError extends Error {
  override name = 'NetworkError'
  readonly code: NetworkErrorCode
  constructor(code: NetworkErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}
