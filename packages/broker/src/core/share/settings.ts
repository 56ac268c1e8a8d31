import type { GroupConfig } from '../groups/assigned/machine.ts'
import { durationMs, groupSettingOf } from '../groups/group-config.ts'
import type { GroupSettings } from '../groups/settings.ts'

/** How a share group behaves. */
export interface ShareSettings {
  /** How long a member keeps a record that it has taken before others get it. */
  readonly lockDurationMs: number
  /** Deliveries after which a record that was not accepted is given up; 0: never. */
  readonly deliveryLimit: number
  /** Where a group begins in a partition that it has not seen yet; a number stands for so many milliseconds ago. */
  readonly start: 'earliest' | 'latest' | number
  /** Whether records of open and aborted transactions are left out. */
  readonly committed: boolean
}

/** Settings are asked for with every request and change seldom: they are read once from each configuration, which is replaced as a whole. */
export function settingsReader(broker: GroupSettings): (config: GroupConfig) => ShareSettings {
  const known = new WeakMap<GroupConfig, ShareSettings>()
  return config => {
    let settings = known.get(config)
    if (settings === undefined) known.set(config, (settings = readSettings(config, broker)))
    return settings
  }
}

function readSettings(config: GroupConfig, broker: GroupSettings): ShareSettings {
  const start = groupSettingOf(config, 'shareStart', broker)
  return {
    lockDurationMs: Number(groupSettingOf(config, 'shareLockDurationMs', broker)),
    deliveryLimit: Number(groupSettingOf(config, 'shareDeliveryLimit', broker)),
    start: start === 'earliest' || start === 'latest' ? start : (durationMs(start) ?? 0),
    committed: groupSettingOf(config, 'shareIsolation', broker) === 'committed',
  }
}
