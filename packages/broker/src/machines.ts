import type { MachineFactories } from './cell/state.ts'
import { DirectoryMachine } from './core/directory.ts'
import { CursorMachine } from './core/cursor/machine.ts'
import { MembershipsMachine } from './core/groups/assigned/machine.ts'
import { EntryStreamsMachine } from './core/entry-streams/machine.ts'
import { GroupsMachine } from './core/groups/machine.ts'
import { DelayedMachine } from './core/delayed/machine.ts'
import { TransactionsMachine } from './core/transactions/machine.ts'
import { NamespacesMachine } from './core/namespaces/machine.ts'
import { IdentityMachine } from './core/identity/machine.ts'
import { ShareGroupsMachine } from './core/share/machine.ts'
import { RetainedMachine } from './core/retained/machine.ts'
import { SessionsMachine } from './core/sessions/machine.ts'
import { PoliciesMachine } from './core/policies/machine.ts'
import { QuotasMachine } from './core/quotas/machine.ts'
import { ValuesMachine } from './core/values/machine.ts'
import { ListsMachine } from './core/lists/machine.ts'
import { WorkMachine } from './core/work/machine.ts'

/** The machines of a cell. */
export const machines: MachineFactories = {
  directory: () => new DirectoryMachine(),
  groups: () => new GroupsMachine(),
  memberships: () => new MembershipsMachine(),
  transactions: () => new TransactionsMachine(),
  identity: () => new IdentityMachine(),
  shareGroups: () => new ShareGroupsMachine(),
  quotas: () => new QuotasMachine(),
  cursor: () => new CursorMachine(),
  policies: () => new PoliciesMachine(),
  work: () => new WorkMachine(),
  delayed: () => new DelayedMachine(),
  entryStreams: () => new EntryStreamsMachine(),
  namespaces: () => new NamespacesMachine(),
  retained: () => new RetainedMachine(),
  sessions: () => new SessionsMachine(),
  lists: () => new ListsMachine(),
  values: () => new ValuesMachine(),
}
