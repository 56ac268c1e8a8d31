import { homeNamespace, type Broker } from '../../core/broker.ts'
import type { FoundMessage } from '../../core/work/lane.ts'
import type { Spot, WorkQueue } from '../../core/work/contract.ts'
import { numbersOf } from './mapping.ts'
import { isTubeName, type CommandName } from './messages.ts'
import type { Server } from './server.ts'

/** Statistics as YAML, with the keys of the protocol in its order. What we have nothing like (binlog files) is 0. */
export function yaml(entries: Readonly<Record<string, string | number>>): string {
  return `---\n${Object.entries(entries)
    .map(([key, value]) => `${key}: ${value}\n`)
    .join('')}`
}

export const yamlList = (names: readonly string[]): string => `---\n${names.map(name => `- ${name}\n`).join('')}`

/** Tubes that the protocol can name: other queues are not shown. */
export const tubesOf = (broker: Broker): WorkQueue[] =>
  broker.work.list(homeNamespace).filter(({ name }) => isTubeName(name))

const stateWords = { ready: 'ready', reserved: 'reserved', delayed: 'delayed', aside: 'buried' } as const
const version = 'dragoman 0.1.0'
/** Commands that the statistics count, in their order. */
const counted: readonly CommandName[] = [
  'put',
  'peek',
  'peek-ready',
  'peek-delayed',
  'peek-buried',
  'reserve',
  'reserve-with-timeout',
  'delete',
  'release',
  'use',
  'watch',
  'ignore',
  'bury',
  'kick',
  'touch',
  'stats',
  'stats-job',
  'stats-tube',
  'list-tubes',
  'list-tube-used',
  'list-tubes-watched',
  'pause-tube',
]

export function jobStatistics(spot: Spot, message: FoundMessage, nowMs: number): string | undefined {
  const { queue, lane, offset, number } = spot
  const state = queue.stateOf(spot)
  if (!state) return undefined
  const note = lane.noteOf(offset)
  const held = queue.held.get(number)
  const put = numbersOf(message.envelope)
  const leftMs = state === 'reserved' ? (held?.worker.leftMs(held) ?? 0) : state === 'delayed' ? queue.dueInMs(spot) : 0
  return yaml({
    id: number,
    tube: quoted(queue.name),
    state: stateWords[state],
    pri: note?.priority ?? put.priority,
    age: Math.max(0, Math.floor((nowMs - message.timestampMs) / 1000)),
    delay: Math.floor((note ? note.delayMs : 1000 * put.delaySeconds) / 1000),
    ttr: put.ttrSeconds,
    'time-left': Math.floor(leftMs / 1000),
    file: 0,
    reserves: held?.reserves ?? note?.reserves ?? 0,
    timeouts: note?.timeouts ?? 0,
    releases: note?.releases ?? 0,
    buries: note?.asides ?? 0,
    kicks: note?.kicks ?? 0,
  })
}

export function tubeStatistics(queue: WorkQueue): string {
  return yaml({
    name: quoted(queue.name),
    ...countsOf([queue]),
    'total-jobs': queue.putCount,
    'current-using': queue.users,
    'current-watching': queue.watchers.size,
    'current-waiting': queue.waiters.size,
    'cmd-delete': queue.removedCount,
    'cmd-pause-tube': queue.pauseCount,
    pause: Math.floor(queue.pauseMs / 1000),
    'pause-time-left': Math.floor(queue.pauseLeftMs / 1000),
  })
}

export function serverStatistics(broker: Broker, server: Server, hostname: string, nowMs: number): string {
  const tubes = tubesOf(broker)
  const { userCPUTime, systemCPUTime } = process.resourceUsage()
  return yaml({
    ...countsOf(tubes),
    ...Object.fromEntries(counted.map(name => [`cmd-${name}`, server.commands.get(name) ?? 0])),
    'job-timeouts': server.timeouts,
    'total-jobs': server.jobs,
    'max-job-size': broker.limits.jobBytesMax,
    'current-tubes': tubes.length,
    'current-connections': server.connections,
    'current-producers': server.producers,
    'current-workers': server.workers,
    'current-waiting': server.waiting,
    'total-connections': server.connectionsEver,
    pid: process.pid,
    version: quoted(version),
    'rusage-utime': (userCPUTime / 1e6).toFixed(6),
    'rusage-stime': (systemCPUTime / 1e6).toFixed(6),
    uptime: server.uptimeSeconds(nowMs),
    'binlog-oldest-index': 0,
    'binlog-current-index': 0,
    'binlog-records-migrated': 0,
    'binlog-records-written': 0,
    'binlog-max-size': 0,
    draining: String(broker.work.isDraining),
    id: server.id,
    hostname: quoted(hostname),
    os: quoted(process.platform),
    platform: quoted(process.arch),
  })
}

function countsOf(tubes: readonly WorkQueue[]): Record<string, number> {
  const sum = (count: (tube: WorkQueue) => number): number => tubes.reduce((total, tube) => total + count(tube), 0)
  return {
    'current-jobs-urgent': sum(tube => tube.urgentCount),
    'current-jobs-ready': sum(tube => tube.readyCount),
    'current-jobs-reserved': sum(tube => tube.reservedCount),
    'current-jobs-delayed': sum(tube => tube.delayedCount),
    'current-jobs-buried': sum(tube => tube.asideCount),
  }
}

const quoted = (text: string): string => `"${text}"`
