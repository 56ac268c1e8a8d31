import { codes } from '../../packages/broker/src/protocols/kafka/errors.ts'
import { apis } from '../../packages/broker/src/protocols/kafka/messages/index.ts'
import type { Client } from './client.ts'

const groupResource = 32

/** Sets keys of the configuration of a group, again and again until that is answered. */
export async function setGroupConfig(client: Client, group: string, config: Record<string, string>): Promise<void> {
  const configs = Object.entries(config).map(([name, value]) => ({ name, configOperation: 0, value }))
  const resources = [{ resourceType: groupResource, resourceName: group, configs }]
  for (;;) {
    const answer = await client.request(apis.incrementalAlterConfigs, { resources, validateOnly: false })
    const found = answer?.responses[0]
    if (found?.errorCode === codes.none) return
    if (found !== undefined && found.errorCode !== codes.kafkaStorageError)
      client.simulator.fail(`configuring group ${group} was refused with ${found.errorCode}: ${found.errorMessage}`)
    await client.simulator.sleep(100)
  }
}
