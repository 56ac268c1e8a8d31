import { codes } from '@dragoman/broker/kafka-errors'
import { apis } from '@dragoman/broker/kafka-messages'
import { toggle } from '@dragoman/broker/options'
import { brokerOptions } from '../broker-options.ts'
import { withCluster, type Cluster } from '../cluster.ts'
import { CommandError, defineCommand, option } from '../command.ts'
import { check } from '../errors.ts'
import { readAssignment } from '../group-protocol.ts'
import { committedOffsets } from '../group-offsets.ts'
import { offsetsAt } from '../positions.ts'
import { describeShareGroup, sharePositions, type ShareGroup, type SharePosition } from '../share-groups.ts'
import { formatTable, print, printJson } from '../table.ts'

export const groupDescribe = defineCommand({
  name: 'group describe',
  summary: 'Show members, committed offsets and lag of groups.',
  words: [{ name: 'GROUP', help: 'Name of the group.', many: true }],
  options: { ...brokerOptions, json: option(toggle, false, 'Print JSON.') },
  examples: [['dragoman group describe billing', 'Who takes which partition, and how far behind it is.']],
  async run({ options, words }) {
    const { json } = options
    await withCluster(options, async cluster => {
      const described: (Described | DescribedShare)[] = []
      for (const group of words) {
        const shared = await describeShareGroup(cluster, group)
        if (shared === undefined) described.push(await describeGroup(cluster, group))
        else described.push({ group, type: 'share', ...shared, offsets: await sharePositions(cluster, group) })
      }
      if (json) printJson(described)
      else print(described.map(one => ('type' in one ? showShareGroup(one) : showGroup(one))).join('\n\n'))
    })
    return undefined
  },
})

interface Described {
  group: string
  state: string
  protocol: string
  members: { member: string; client: string; host: string; partitions: string[] }[]
  offsets: { topic: string; partition: number; committed: number; end: number; lag: number; member: string }[]
}

/** Members may have the same partitions: records go to one of them each. */
interface DescribedShare extends ShareGroup {
  group: string
  type: 'share'
  offsets: SharePosition[]
}

async function describeGroup(cluster: Cluster, group: string): Promise<Described> {
  const assigned = await describeAssigned(cluster, group)
  if (assigned !== undefined) return assigned
  const answer = await cluster.request(apis.describeGroups, { groups: [group] })
  const [found] = answer.groups
  check(found?.errorCode ?? 0, `Cannot describe group "${group}"`, found?.errorMessage)
  const committed = await committedOffsets(cluster, group)
  if (!found || (found.groupState === 'Dead' && committed.size === 0))
    throw new CommandError(`There is no group "${group}"`)
  const owners = new Map<string, string>()
  const members = found.members.map(({ memberId, groupInstanceId, clientId, clientHost, memberAssignment }) => {
    const partitions: string[] = []
    for (const [topic, numbers] of found.protocolType === 'consumer' ? readAssignment(memberAssignment) : []) {
      for (const partition of numbers) {
        partitions.push(`${topic}/${partition}`)
        owners.set(`${topic}/${partition}`, groupInstanceId ?? memberId)
      }
    }
    return { member: groupInstanceId ?? memberId, client: clientId, host: clientHost, partitions }
  })
  const offsets = await describeOffsets(cluster, committed, owners)
  return { group, state: found.groupState, protocol: found.protocolData, members, offsets }
}

/** A group to which the broker assigns; undefined when it is of another kind or there is none. */
async function describeAssigned(cluster: Cluster, group: string): Promise<Described | undefined> {
  const { groups } = await cluster.request(apis.consumerGroupDescribe, { groupIds: [group] })
  const [found] = groups
  if (found === undefined || found.errorCode === codes.groupIdNotFound) return undefined
  check(found.errorCode, `Cannot describe group "${group}"`, found.errorMessage)
  const owners = new Map<string, string>()
  const members = found.members.map(({ memberId, instanceId, clientId, clientHost, assignment }) => {
    const member = instanceId ?? memberId
    const partitions = assignment.topicPartitions.flatMap(({ topicName, partitions: numbers }) =>
      numbers.map(partition => `${topicName}/${partition}`),
    )
    for (const partition of partitions) owners.set(partition, member)
    return { member, client: clientId, host: clientHost, partitions }
  })
  const offsets = await describeOffsets(cluster, await committedOffsets(cluster, group), owners)
  const protocol = `assigned by the broker (${found.assignorName}), epoch ${found.groupEpoch}`
  return { group, state: found.groupState, protocol, members, offsets }
}

async function describeOffsets(
  cluster: Cluster,
  committed: ReadonlyMap<string, ReadonlyMap<number, number>>,
  owners: ReadonlyMap<string, string>,
): Promise<Described['offsets']> {
  const topics = [...committed].map(([topic, partitions]) => ({ topic, id: '', partitions: [...partitions.keys()] }))
  const ends = await offsetsAt(cluster, topics, { kind: 'end' })
  const rows: Described['offsets'] = []
  for (const [topic, partitions] of committed) {
    for (const [partition, offset] of partitions) {
      const end = ends.get(topic)?.get(partition) ?? offset
      rows.push({
        topic,
        partition,
        committed: offset,
        end,
        lag: end - offset,
        member: owners.get(`${topic}/${partition}`) ?? '',
      })
    }
  }
  return rows.sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
}

function showGroup({ group, state, protocol, members, offsets }: Described): string {
  const lines = [`${group}  ${state}${protocol === '' ? '' : `, ${protocol}`}`]
  if (members.length > 0) lines.push('', showMembers(members))
  if (offsets.length > 0) {
    const rows = offsets.map(({ topic, partition, committed, end, lag, member }) => [
      topic,
      partition,
      committed,
      end,
      lag,
      member,
    ])
    lines.push('', formatTable(['TOPIC', 'PARTITION', 'COMMITTED', 'END', 'LAG', 'MEMBER'], rows))
  }
  return lines.join('\n')
}

function showShareGroup({ group, state, assignor, members, offsets }: DescribedShare): string {
  const lines = [`${group}  ${state}, share group, ${assignor}`]
  if (members.length > 0) lines.push('', showMembers(members))
  if (offsets.length > 0) {
    const rows = offsets.map(({ topic, partition, start, lag }) => [topic, partition, start, lag])
    lines.push('', formatTable(['TOPIC', 'PARTITION', 'START', 'LAG'], rows))
  }
  return lines.join('\n')
}

function showMembers(members: Described['members']): string {
  const rows = members.map(({ member, client, host, partitions }) => [member, client, host, partitions.join(' ')])
  return formatTable(['MEMBER', 'CLIENT', 'HOST', 'PARTITIONS'], rows)
}
