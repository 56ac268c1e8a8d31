import assert from 'node:assert/strict'
import type { Codec } from '@dragoman/wire'
import { machineKinds, type Ledger } from '../../cell/machine.ts'
import type { Connections } from '../connections.ts'
import { BrokerError } from '../errors.ts'
import { checkNamespaceName, quote } from '../names.ts'
import { atomically, durably } from '../refusals.ts'
import { homeNamespace } from '../topic.ts'
import { factOf, namespaceFacts, namespaceNamed, namespaceSet, parameterRemoved, parameterSet } from './facts.ts'
import {
  NamespacesMachine,
  parameterKey,
  storeNamespace,
  type NamespaceDefinition,
  type NamespaceLimit,
  type Parameter,
} from './machine.ts'

export interface NamespacesOptions {
  ledger: Ledger
  limits: { namespacesMax: number; parametersMax: number }
  /** Those to a namespace end with it. */
  connections: Pick<Connections, 'list'>
  /** Something that can be in a namespace, in the order in which it is to be removed. */
  contents: readonly NamespaceContent[]
  log(level: 'warn' | 'error', message: string, fields?: Record<string, unknown>): void
}

/** One kind of what namespaces contain. */
export interface NamespaceContent {
  /** Removes some of it, of the namespace that has ended, at most a few hundred; resolves with whether there may be more. */
  removeSome(namespace: string): Promise<boolean>
}

/** How a namespace is to be. What is left out stays as it is, or has its default. */
export type NamespaceOptions = Partial<Omit<NamespaceDefinition, 'name' | 'limits'>>

const textBytesMax = 4096
const tagsMax = 64
/** A parameter as JSON text. */
const parameterBytesMax = 64 * 1024

/**
 * All namespaces; the home namespace is always there. Methods that change something decide before they first wait, resolve when that is
 * durable, and reject with `BrokerError`.
 *
 * A namespace that is removed is gone for everybody at once; what it contains is removed afterwards, piece by piece, and goes on after a
 * restart. Until then its name cannot be used again.
 */
export class Namespaces {
  readonly #options: NamespacesOptions
  readonly #machine: NamespacesMachine
  readonly #sweeping = new Map<string, Promise<void>>()
  #isClosed = false

  /** Over a cell that has been recovered. */
  constructor(options: NamespacesOptions) {
    const machine = options.ledger.machine(machineKinds.namespaces)
    assert(machine instanceof NamespacesMachine)
    this.#options = options
    this.#machine = machine
  }

  has(name: string): boolean {
    return this.#machine.namespaces.has(name)
  }

  get(name: string): NamespaceDefinition | undefined {
    return this.#machine.namespaces.get(name)
  }

  /** The home namespace first, then the oldest. */
  list(): NamespaceDefinition[] {
    return [...this.#machine.namespaces.values()]
  }

  /** Undefined: there is no limit. */
  limitOf(name: string, limit: NamespaceLimit): number | undefined {
    return this.get(name)?.limits.get(limit)
  }

  /** Makes a namespace, or changes what is said about one that is there. Resolves with whether it was made. */
  async set(name: string, options: NamespaceOptions = {}): Promise<boolean> {
    checkNamespaceName(name)
    const present = this.get(name)
    const before = present ?? { name, description: '', tags: [], defaultQueueType: '', limits: new Map() }
    const definition = { ...before, ...options }
    checkTexts(definition)
    if (!present) this.#checkNew(name)
    await this.#write(namespaceFacts.namespaceSet, namespaceSet, storeNamespace(definition))
    return !present
  }

  /** `max` undefined: there is no limit any more. */
  async setLimit(name: string, limit: NamespaceLimit, max: number | undefined): Promise<void> {
    const present = this.#present(name)
    if (max !== undefined && (!Number.isSafeInteger(max) || max < 0)) {
      throw new BrokerError('request-invalid', `a limit of a namespace is 0 or more, not ${max}`)
    }
    const limits = new Map(present.limits)
    if (max === undefined) limits.delete(limit)
    else limits.set(limit, max)
    await this.#write(namespaceFacts.namespaceSet, namespaceSet, storeNamespace({ ...present, limits }))
  }

  /** Ends the namespace, and resolves when all that was in it is gone. */
  async remove(name: string): Promise<void> {
    if (name === homeNamespace) throw new BrokerError('access-denied', `${quote(name)} is there for ever`)
    this.#present(name)
    const ended = this.#write(namespaceFacts.namespaceEnded, namespaceNamed, { name })
    for (const connection of this.#options.connections.list()) {
      if (connection.namespace === name) connection.close(`the namespace ${quote(name)} was removed`)
    }
    await ended
    await this.#sweep(name)
  }

  /** Goes on with what a former process has begun, or what has failed. */
  resume(): void {
    for (const name of this.#machine.ended) {
      this.#sweep(name).catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error)
        this.#options.log('error', 'What is left of a namespace could not be removed', { name, reason })
      })
    }
  }

  /** Parameters of a component, or all; `namespace` is empty for those of the whole broker. */
  parameters(namespace?: string, component?: string): Parameter[] {
    return [...this.#machine.parameters.values()].filter(of => {
      return (namespace ?? of.namespace) === of.namespace && (component ?? of.component) === of.component
    })
  }

  parameter(namespace: string, component: string, name: string): Parameter | undefined {
    return this.#machine.parameters.get(parameterKey({ namespace, component, name }))
  }

  /** `namespace` is empty for a parameter of the whole broker. */
  async setParameter(parameter: Parameter): Promise<void> {
    const { namespace, component, name, value } = parameter
    if (namespace !== '') this.#present(namespace)
    if (name === '' || Buffer.byteLength(name) + Buffer.byteLength(component) > textBytesMax) {
      throw new BrokerError('request-invalid', `the name of a parameter has 1 to ${textBytesMax} bytes`)
    }
    if (Buffer.byteLength(value) > parameterBytesMax) {
      throw new BrokerError('request-invalid', `a parameter has at most ${parameterBytesMax} bytes`)
    }
    const { parameters } = this.#machine
    const { parametersMax } = this.#options.limits
    if (!parameters.has(parameterKey(parameter)) && parameters.size >= parametersMax) {
      throw new BrokerError('limit-reached', `there are ${parametersMax} parameters, which is the most allowed`)
    }
    await this.#write(namespaceFacts.parameterSet, parameterSet, parameter)
  }

  /** Resolves with whether it was there. */
  async removeParameter(namespace: string, component: string, name: string): Promise<boolean> {
    if (!this.parameter(namespace, component, name)) return false
    await this.#write(namespaceFacts.parameterRemoved, parameterRemoved, { namespace, component, name })
    return true
  }

  close(): void {
    this.#isClosed = true
  }

  #present(name: string): NamespaceDefinition {
    const present = this.get(name)
    if (!present) throw new BrokerError('namespace-not-found', quote(name))
    return present
  }

  #checkNew(name: string): void {
    if (this.#machine.ended.has(name)) {
      // A full disk may have stopped it.
      this.resume()
      throw new BrokerError('request-invalid', `what was in a namespace ${quote(name)} is still being removed`)
    }
    const { namespacesMax } = this.#options.limits
    if (this.#machine.namespaces.size >= namespacesMax) {
      throw new BrokerError('limit-reached', `there are ${namespacesMax} namespaces, which is the most allowed`)
    }
  }

  #sweep(name: string): Promise<void> {
    let sweep = this.#sweeping.get(name)
    if (sweep) return sweep
    sweep = this.#removeContents(name).finally(() => this.#sweeping.delete(name))
    this.#sweeping.set(name, sweep)
    return sweep
  }

  async #removeContents(name: string): Promise<void> {
    for (const content of this.#options.contents) {
      while (await content.removeSome(name)) {
        // What is left is done after the next start.
        if (this.#isClosed) throw new BrokerError('shutting-down', `${quote(name)} is not empty yet`)
      }
    }
    await this.#write(namespaceFacts.namespaceRemoved, namespaceNamed, { name })
  }

  async #write<T, W>(type: number, codec: Codec<T, W>, value: W): Promise<void> {
    const { ledger } = this.#options
    const seq = atomically(ledger, () => ledger.fact(machineKinds.namespaces, type, factOf(codec, value)))
    await durably(ledger, seq)
  }
}

function checkTexts({ description, tags, defaultQueueType }: NamespaceDefinition): void {
  const texts = [description, defaultQueueType, ...tags]
  if (tags.length > tagsMax) throw new BrokerError('request-invalid', `a namespace has at most ${tagsMax} tags`)
  if (texts.some(text => Buffer.byteLength(text) > textBytesMax)) {
    throw new BrokerError('request-invalid', `a text of a namespace has at most ${textBytesMax} bytes`)
  }
}
