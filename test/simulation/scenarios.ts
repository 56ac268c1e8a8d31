import { brokenBrokerRules } from './broker-rules.ts'
import { declareBroken, loadBroken, type BrokenRule } from './broken-rules.ts'
import { brokenChainRules } from './chain-rules.ts'
import { brokenKeyRules } from './key-rules.ts'
import { brokenQueueRules } from './queue-rules.ts'
import { brokenSessionRules } from './session-rules.ts'
import type { Scenario } from './report.ts'

export interface ScenarioEntry {
  url: URL
  broken: Record<string, BrokenRule>
}

export const scenarios: Record<string, ScenarioEntry> = {
  chain: { url: new URL('chain.ts', import.meta.url), broken: brokenChainRules },
  broker: { url: new URL('broker.ts', import.meta.url), broken: brokenBrokerRules },
  keys: { url: new URL('keys.ts', import.meta.url), broken: brokenKeyRules },
  sessions: { url: new URL('sessions.ts', import.meta.url), broken: brokenSessionRules },
  queues: { url: new URL('queues.ts', import.meta.url), broken: brokenQueueRules },
}

for (const { broken } of Object.values(scenarios)) declareBroken(broken)

export function loadScenario(name: string, brokenRule?: string): Promise<Scenario> {
  const entry = scenarios[name]
  if (!entry) throw new Error(`There is no scenario ${name}: give one of ${Object.keys(scenarios).join(', ')}`)
  return loadBroken<Scenario>(entry.url, brokenRule)
}

/** What the checkers say about a broken rule, and after how many seeds; undefined when they have not noticed. */
export async function catchBroken(
  name: string,
  rule: string,
  seedsMax: number,
): Promise<{ seeds: number; message: string } | undefined> {
  const { run } = await loadScenario(name, rule)
  for (let seed = 1; seed <= seedsMax; seed++) {
    const message = await run(seed).then(
      () => undefined,
      (error: Error) => error.message.split('\n')[0] ?? '',
    )
    if (message !== undefined) return { seeds: seed, message }
  }
  return undefined
}
