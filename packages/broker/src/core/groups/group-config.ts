import { BrokerError } from '../errors.ts'
import { quote } from '../names.ts'
import type { GroupConfig } from './assigned/machine.ts'
import type { GroupSettings } from './settings.ts'

/** A setting of one group, with the broker's own as its default. */
export interface GroupSetting {
  readonly kind: 'integer' | 'word'
  /** One or two sentences for people, in the present tense. */
  readonly doc: string
  readonly default: (broker: GroupSettings) => string
  /** What is wrong with the value, or undefined. */
  readonly problem: (value: string, broker: GroupSettings) => string | undefined
}

/** Everything that a group can be told, by its stored key. */
export const groupConfigTable = {
  sessionTimeoutMs: {
    kind: 'integer',
    doc: 'Milliseconds without a sign of life after which a member is removed, where the broker assigns.',
    default: broker => String(broker.assignedSessionTimeoutMs),
    problem: (value, broker) =>
      integerProblem(value, broker.assignedSessionTimeoutMinMs, broker.assignedSessionTimeoutMaxMs),
  },
  heartbeatIntervalMs: {
    kind: 'integer',
    doc: 'Milliseconds between the signs of life that members are asked for, where the broker assigns.',
    default: broker => String(broker.heartbeatIntervalMs),
    problem: (value, broker) => integerProblem(value, broker.heartbeatIntervalMinMs, broker.heartbeatIntervalMaxMs),
  },
  shareLockDurationMs: {
    kind: 'integer',
    doc: 'Milliseconds for which a member of a shared group keeps a record that it has taken before others get it.',
    default: broker => String(broker.shareLockDurationMs),
    problem: value => integerProblem(value, 100, 24 * 3_600_000),
  },
  shareDeliveryLimit: {
    kind: 'integer',
    doc: 'Deliveries after which a record that no member of a shared group has accepted is given up; 0: never.',
    default: broker => String(broker.shareDeliveryLimit),
    problem: value => integerProblem(value, 0, 30_000),
  },
  shareStart: {
    kind: 'word',
    doc: 'Where a shared group begins in a topic: earliest, latest, or as long ago as an ISO 8601 duration says.',
    default: () => 'latest',
    problem: value =>
      value === 'earliest' || value === 'latest' || durationMs(value) !== undefined
        ? undefined
        : `takes earliest, latest or a duration like PT1H30M, not ${quote(value)}`,
  },
  shareIsolation: {
    kind: 'word',
    doc: 'Whether members of a shared group get all records, or only those of transactions that were committed.',
    default: () => 'uncommitted',
    problem: value =>
      value === 'uncommitted' || value === 'committed'
        ? undefined
        : `takes uncommitted or committed, not ${quote(value)}`,
  },
} as const satisfies Record<string, GroupSetting>

export type GroupSettingName = keyof typeof groupConfigTable

export const isGroupSettingName = (name: string): name is GroupSettingName => Object.hasOwn(groupConfigTable, name)

/** What is in force: what was set, or what the broker does. */
export const groupSettingOf = (config: GroupConfig, name: GroupSettingName, broker: GroupSettings): string =>
  config.get(name) ?? groupConfigTable[name].default(broker)

/** Throws `BrokerError` `config-invalid` that names the key and what it takes. */
export function checkGroupConfig(config: GroupConfig, broker: GroupSettings): void {
  for (const [name, value] of config) {
    const problem = isGroupSettingName(name)
      ? groupConfigTable[name].problem(value, broker)
      : 'there is no such setting'
    if (problem !== undefined) throw new BrokerError('config-invalid', `${name}: ${problem}`)
  }
  const sessionMs = Number(groupSettingOf(config, 'sessionTimeoutMs', broker))
  const heartbeatMs = Number(groupSettingOf(config, 'heartbeatIntervalMs', broker))
  if (sessionMs > heartbeatMs) return
  throw new BrokerError(
    'config-invalid',
    `a session of ${sessionMs} ms is not longer than an interval of ${heartbeatMs} ms`,
  )
}

/** For rows of the table: what is wrong with a decimal integer without leading zeros or a plus, or undefined. */
export function integerProblem(value: string, min: number, max: number): string | undefined {
  const isFine = /^(0|[1-9][0-9]{0,14})$/.test(value) && Number(value) >= min && Number(value) <= max
  return isFine ? undefined : `takes an integer from ${min} to ${max}, not ${quote(value)}`
}

/** An ISO 8601 duration of days, hours, minutes and seconds that is not negative, in milliseconds; undefined when it is none. */
export function durationMs(text: string): number | undefined {
  const parts = /^P(?:(\d{1,7})D)?(T(?:(\d{1,8})H)?(?:(\d{1,9})M)?(?:(\d{1,10}(?:\.\d{1,9})?)S)?)?$/i.exec(text)
  if (parts === null || /[PT]$/i.test(text)) return undefined
  const [, days = '0', , hours = '0', minutes = '0', seconds = '0'] = parts
  return Math.round((((Number(days) * 24 + Number(hours)) * 60 + Number(minutes)) * 60 + Number(seconds)) * 1000)
}
