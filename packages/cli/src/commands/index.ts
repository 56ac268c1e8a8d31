import type { Command } from '../command.ts'

/** Every command, one line each, loaded only when it is called. The order is that of the help. */
export const commands = {
  serve: { load: async () => (await import('./serve.ts')).serve },
  publish: { load: async () => (await import('./publish.ts')).publish },
  consume: { load: async () => (await import('./consume.ts')).consume },
  'topic create': { load: async () => (await import('./topic-create.ts')).topicCreate },
  'topic list': { load: async () => (await import('./topic-list.ts')).topicList },
  'topic describe': { load: async () => (await import('./topic-describe.ts')).topicDescribe },
  'topic alter': { load: async () => (await import('./topic-alter.ts')).topicAlter },
  'topic delete': { load: async () => (await import('./topic-delete.ts')).topicDelete },
  'group list': { load: async () => (await import('./group-list.ts')).groupList },
  'group describe': { load: async () => (await import('./group-describe.ts')).groupDescribe },
  'group reset': { load: async () => (await import('./group-reset.ts')).groupReset },
  'group delete': { load: async () => (await import('./group-delete.ts')).groupDelete },
  'queue list': { load: async () => (await import('./queue-list.ts')).queueList },
  'queue declare': { load: async () => (await import('./queue-declare.ts')).queueDeclare },
  'queue describe': { load: async () => (await import('./queue-describe.ts')).queueDescribe },
  'queue delete': { load: async () => (await import('./queue-delete.ts')).queueDelete },
  'queue purge': { load: async () => (await import('./queue-purge.ts')).queuePurge },
  'exchange list': { load: async () => (await import('./exchange-list.ts')).exchangeList },
  'exchange declare': { load: async () => (await import('./exchange-declare.ts')).exchangeDeclare },
  'exchange describe': { load: async () => (await import('./exchange-describe.ts')).exchangeDescribe },
  'exchange delete': { load: async () => (await import('./exchange-delete.ts')).exchangeDelete },
  'binding list': { load: async () => (await import('./binding-list.ts')).bindingList },
  'binding declare': { load: async () => (await import('./binding-declare.ts')).bindingDeclare },
  'binding delete': { load: async () => (await import('./binding-delete.ts')).bindingDelete },
  'policy list': { load: async () => (await import('./policy-list.ts')).policyList },
  'policy declare': { load: async () => (await import('./policy-declare.ts')).policyDeclare },
  'policy describe': { load: async () => (await import('./policy-describe.ts')).policyDescribe },
  'policy delete': { load: async () => (await import('./policy-delete.ts')).policyDelete },
  'user create': { load: async () => (await import('./user-create.ts')).userCreate },
  'user list': { load: async () => (await import('./user-list.ts')).userList },
  'user password': { load: async () => (await import('./user-password.ts')).userPassword },
  'user delete': { load: async () => (await import('./user-delete.ts')).userDelete },
  'permission grant': { load: async () => (await import('./permission-grant.ts')).permissionGrant },
  'permission revoke': { load: async () => (await import('./permission-revoke.ts')).permissionRevoke },
  'permission list': { load: async () => (await import('./permission-list.ts')).permissionList },
  'quota set': { load: async () => (await import('./quota-set.ts')).quotaSet },
  'quota list': { load: async () => (await import('./quota-list.ts')).quotaList },
  'quota remove': { load: async () => (await import('./quota-remove.ts')).quotaRemove },
  verify: { load: async () => (await import('./verify.ts')).verify },
  decode: { load: async () => (await import('./decode.ts')).decode },
  completion: { load: async () => (await import('./completion.ts')).completion },
  help: { load: async () => (await import('./help.ts')).help },
  version: { load: async () => (await import('./version.ts')).version },
} as const satisfies Record<string, { load(): Promise<Command> }>

export type CommandName = keyof typeof commands

/** All commands, loaded: for help and completion. */
export const loadAll = (): Promise<Command[]> =>
  Promise.all(Object.values(commands).map<Promise<Command>>(({ load }) => load()))
