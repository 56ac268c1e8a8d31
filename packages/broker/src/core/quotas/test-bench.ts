import type { FactContext, Ledger, Machine } from '../../cell/machine.ts'
import type { QuotaEntity, QuotaKeyName } from './entity.ts'
import { QuotasMachine } from './machine.ts'
import { Quotas } from './quotas.ts'

/** Quotas for tests: one machine, whose facts are durable at once, and a clock that the test turns. */
export class QuotasBench {
  readonly machine: QuotasMachine
  readonly quotas: Quotas
  nowMs = 1_000_000

  constructor({ machine = new QuotasMachine(), quotaMetersMax = 1000, quotasMax = 1000 } = {}) {
    this.machine = machine
    const ledger: Partial<Ledger> = {
      clock: { nowMs: () => this.nowMs, monotonicMs: () => this.nowMs, after: () => () => {} },
      machine: (): Machine => machine,
      fact: (_machine, type, payload) => {
        machine.apply(type, Buffer.from(payload), {} as FactContext)
        return 1
      },
      atomic: run => {
        run()
        return 1
      },
      durable: () => Promise.resolve(),
      openSeq: 1,
    }
    this.quotas = new Quotas({ ledger: ledger as Ledger, limits: { quotaMetersMax, quotasMax } })
  }

  set(entity: QuotaEntity, key: QuotaKeyName, value: number | undefined): Promise<void> {
    return this.quotas.change(entity, [{ key, value }])
  }
}
