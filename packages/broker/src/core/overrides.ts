import { overrideScopes, type OverrideScope } from './directory.ts'
import { BrokerError } from './errors.ts'
import { isSettingName, topicSettings, type Setting } from './topic-config.ts'

/** Settings of the broker, other than those of topics, that can be overridden while it runs. */
export const runtimeSettings = {
  connectionsMax: {
    kind: 'integer',
    doc: 'Connections of all listeners together; one more is closed at once.',
    problem: (value: string) =>
      /^[1-9][0-9]{0,9}$/.test(value) && Number(value) < 2 ** 31
        ? undefined
        : `takes an integer from 1 to ${2 ** 31 - 1}, not ${JSON.stringify(value.slice(0, 80))}`,
  },
} as const satisfies Record<string, Omit<Setting, 'default'>>

export type RuntimeSettingName = keyof typeof runtimeSettings

/**
 * Checks what is to be overridden: settings of topics, which then are the default of all topics that do not say otherwise, and
 * `runtimeSettings`. Throws `BrokerError` `config-invalid`.
 */
export function checkOverrides(config: ReadonlyMap<string, string>): void {
  for (const [name, value] of config) {
    const problem = isSettingName(name)
      ? topicSettings[name].problem(value)
      : isRuntimeSetting(name)
        ? runtimeSettings[name].problem(value)
        : 'it cannot be changed while the broker runs'
    if (problem !== undefined) throw new BrokerError('config-invalid', `${name}: ${problem}`)
  }
}

/** What is in force of a setting: what is overridden for this broker, for all of them, or neither. */
export function overrideOf(
  overrides: (scope: OverrideScope) => ReadonlyMap<string, string>,
  name: RuntimeSettingName,
): number | undefined {
  const values = overrideScopes.toReversed().map(scope => overrides(scope).get(name))
  const value = values.find(one => one !== undefined)
  return value === undefined ? undefined : Number(value)
}

function isRuntimeSetting(name: string): name is RuntimeSettingName {
  return Object.hasOwn(runtimeSettings, name)
}
