import { Random } from '@dragoman/wire'
import type { Ledger, Machine } from '../../cell/machine.ts'
import { Identity, type IdentityOptions, type IdentitySettings } from './identity.ts'
import { IdentityMachine } from './machine.ts'

export const openSettings: IdentitySettings = {
  users: [],
  superUsers: undefined,
  mechanisms: ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'],
  isRequired: false,
  authorization: 'auto',
  withoutRule: 'deny',
  certificateName: 'subject',
  sessionMs: 0,
  authenticationMs: 30_000,
}

/** Users and rules for tests: facts are durable at once, and the test turns the clock. */
export class IdentityBench {
  readonly machine: IdentityMachine
  readonly identity: Identity
  readonly facts: { type: number; payload: Buffer }[] = []
  readonly logged: string[] = []
  nowMs = 1_000_000

  constructor(settings: Partial<IdentitySettings> = {}, options: Partial<IdentityOptions> = {}) {
    const machine = new IdentityMachine()
    this.machine = machine
    const ledger: Partial<Ledger> = {
      clock: { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs, after: () => () => {} },
      machine: (): Machine => machine,
      fact: (_machine, type, payload) => {
        this.facts.push({ type, payload: Buffer.from(payload) })
        machine.apply(type, Buffer.from(payload))
        return 1
      },
      atomic: run => {
        run()
        return 1
      },
      durable: () => Promise.resolve(),
    }
    this.identity = new Identity({
      ledger: ledger as Ledger,
      random: new Random(1),
      limits: { usersMax: 1000, rulesMax: 1000 },
      settings: { ...openSettings, ...settings },
      log: (level, message, fields) => this.logged.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`),
      ...options,
    })
  }
}
