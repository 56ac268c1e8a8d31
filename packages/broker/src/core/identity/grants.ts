import type { Infer, Reader, Writer } from '@dragoman/wire'
import { keyPermissionSet, permissionSet, type keyPermissionRemoved, type permissionRemoved } from './facts.ts'

/** What a user may do in a namespace: regular expressions over names. An empty one allows only what has no name. Immutable. */
export type Permission = Readonly<Infer<typeof permissionSet>>

/** What a user may do by an exchange: regular expressions over keys. Immutable. */
export type KeyPermission = Readonly<Infer<typeof keyPermissionSet>>

/** Permissions of users, for `IdentityMachine`. At most one of a user in a namespace, and one by an exchange. */
export class Grants {
  /** By user, then by namespace. */
  readonly #permissions = new Map<string, Map<string, Permission>>()
  /** By user, then by namespace and exchange. */
  readonly #keyPermissions = new Map<string, Map<string, KeyPermission>>()
  count = 0

  get(user: string, namespace: string): Permission | undefined {
    return this.#permissions.get(user)?.get(namespace)
  }

  getKeys(user: string, namespace: string, exchange: string): KeyPermission | undefined {
    return this.#keyPermissions.get(user)?.get(placeOf(namespace, exchange))
  }

  *list(): Iterable<Permission> {
    for (const permissions of this.#permissions.values()) yield* permissions.values()
  }

  *listKeys(): Iterable<KeyPermission> {
    for (const permissions of this.#keyPermissions.values()) yield* permissions.values()
  }

  set(permission: Permission): void {
    this.#set(this.#permissions, permission, permission.namespace)
  }

  remove({ user, namespace }: Infer<typeof permissionRemoved>): void {
    this.#remove(this.#permissions, user, namespace)
  }

  setKeys(permission: KeyPermission): void {
    this.#set(this.#keyPermissions, permission, placeOf(permission.namespace, permission.exchange))
  }

  removeKeys({ user, namespace, exchange }: Infer<typeof keyPermissionRemoved>): void {
    this.#remove(this.#keyPermissions, user, placeOf(namespace, exchange))
  }

  removeUser(user: string): void {
    for (const all of [this.#permissions, this.#keyPermissions]) {
      this.count -= all.get(user)?.size ?? 0
      all.delete(user)
    }
  }

  removeNamespace(namespace: string): void {
    for (const { user } of [...this.list()]) this.remove({ user, namespace })
    for (const permission of [...this.listKeys()]) if (permission.namespace === namespace) this.removeKeys(permission)
  }

  save(out: Writer, version: number): void {
    const [permissions, keyPermissions] = [[...this.list()], [...this.listKeys()]]
    out.u32(permissions.length)
    for (const permission of permissions) permissionSet.write(out, permission, version)
    out.u32(keyPermissions.length)
    for (const permission of keyPermissions) keyPermissionSet.write(out, permission, version)
  }

  load(from: Reader, version: number): void {
    for (let left = from.u32(); left > 0; left--) this.set(permissionSet.read(from, version))
    for (let left = from.u32(); left > 0; left--) this.setKeys(keyPermissionSet.read(from, version))
  }

  #set<P extends { user: string }>(all: Map<string, Map<string, P>>, permission: P, place: string): void {
    let own = all.get(permission.user)
    if (!own) all.set(permission.user, (own = new Map()))
    if (!own.has(place)) this.count++
    own.set(place, permission)
  }

  #remove<P>(all: Map<string, Map<string, P>>, user: string, place: string): void {
    const own = all.get(user)
    if (own?.delete(place)) this.count--
    if (own?.size === 0) all.delete(user)
  }
}

const placeOf = (namespace: string, exchange: string): string => JSON.stringify([namespace, exchange])
