import type { Permission } from '../../core/identity/grants.ts'
import type { Identity } from '../../core/identity/identity.ts'
import type { User } from '../../core/identity/machine.ts'

/** The name and the password with which clients of this API come when nobody has told them others. */
export const guest = { name: 'guest', password: 'guest' }

/** What they are while clients need not say who they are. */
export const guestUser: User = {
  name: guest.name,
  isSuper: true,
  tags: ['administrator'],
  credentials: new Map(),
}

/** Whether the guest may do everything: nobody must log in, and there is no user of that name. */
export const hasGuest = (identity: Identity): boolean => !identity.isRequired && !identity.user(guest.name)

export function guestPermissions(identity: Identity, namespaces: readonly string[]): Permission[] {
  if (!hasGuest(identity)) return []
  return namespaces.map(namespace => ({ user: guest.name, namespace, configure: '.*', write: '.*', read: '.*' }))
}
