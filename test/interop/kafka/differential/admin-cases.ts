import type { Case } from './cases.ts'
import { cluster } from './cluster-cases.ts'
import { brokerConfigs, otherConfigs, topicConfigs } from './config-cases.ts'
import { quotas } from './quota-cases.ts'
import { creations, metadata, offsets, removals } from './topic-cases.ts'

/** Requests of tools that administer, in an order in which later ones see what earlier ones did. */
export function adminCases(): Case[] {
  return [
    ...creations(),
    ...metadata(),
    ...offsets(),
    ...topicConfigs(),
    ...brokerConfigs(),
    ...otherConfigs(),
    ...quotas(),
    ...cluster(),
    ...removals(),
  ]
}
