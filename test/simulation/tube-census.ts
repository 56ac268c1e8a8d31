import { TubeClient, type Asked } from './tube-client.ts'
import type { Job, TubeHistory } from './tube-history.ts'
import type { Simulator } from '../../packages/broker/src/runtime/simulated/simulator.ts'

/** What the check needs of who knows all tubes. */
export interface TubeWorld {
  readonly simulator: Simulator
  readonly history: TubeHistory
  checkFound(job: Job, answer: Asked): void
  labelOf(body: Buffer | undefined): string
}

/** Commands that are sent before the first of them is answered. */
const windowMax = 50
/** Numbers beyond the highest that anybody was told: of jobs whose answers were lost. */
const beyond = 200

/**
 * Asks for every job that can be there and compares it with all that was told, and the statistics with the jobs. Then, if so
 * wanted, works on all that is left: the order must be that of priority and number.
 */
export async function checkTubes(tubes: TubeWorld, drains: boolean): Promise<void> {
  const client = new TubeClient(tubes.simulator, `tube-checker-${drains}`)
  await untilNobodyHolds(tubes, client)
  const found = await census(tubes, client)
  await compareCounts(tubes, client, found)
  if (drains) await drain(tubes, client, found)
  client.drop()
}

/** A job that was found, with its statistics. */
interface Found {
  job: Job
  state: string
  priority: number
}

async function sure(client: TubeClient, line: string): Promise<Asked> {
  for (;;) {
    const answer = await client.ask(line)
    if (answer && !['OUT_OF_MEMORY', 'DRAINING'].includes(answer.line)) return answer
  }
}

/** Those that were cut off: the broker hears of it late, or their time is over. */
async function untilNobodyHolds(tubes: TubeWorld, client: TubeClient): Promise<void> {
  const { simulator } = tubes
  const untilMs = simulator.nowMs + 60_000
  // Not those of the server: they tell of the machine, which is not that of the simulation.
  for (const tube of tubeNames(tubes)) {
    for (;;) {
      const answer = await sure(client, `stats-tube ${tube}`)
      const stats = statisticsOf(answer)
      const busy = ['current-jobs-reserved', 'current-using', 'current-watching'].map(name => stats[name])
      if (answer.line === 'NOT_FOUND' || busy.every(count => count === 0)) break
      if (simulator.nowMs > untilMs) simulator.fail(`somebody holds jobs for ever: ${String(answer.body)}`)
      await simulator.sleep(500)
    }
  }
}

const tubeNames = ({ history }: TubeWorld): Set<string> =>
  new Set(Array.from(history.byLabel.values(), job => job.tube))

function statisticsOf({ body }: Asked): Record<string, number> {
  const lines = String(body).split('\n')
  return Object.fromEntries(lines.map(line => line.split(': ', 2)).map(([key = '', value]) => [key, Number(value)]))
}

async function census(tubes: TubeWorld, client: TubeClient): Promise<Found[]> {
  const { history, simulator } = tubes
  const found: Found[] = []
  const last = history.idMax + beyond
  for (let first = 1; first <= last; first += windowMax) {
    const ids = Array.from({ length: Math.min(windowMax, last - first + 1) }, (_, at) => first + at)
    const answers = await Promise.all(ids.map(id => sure(client, `peek ${id}`)))
    for (const [at, id] of ids.entries()) {
      const answer = answers[at]
      const known = history.byId.get(id)
      if (answer && known) tubes.checkFound(known, answer)
      if (!answer?.line.startsWith('FOUND ')) continue
      const job = history.jobOf(tubes.labelOf(answer.body))
      history.saw(job, id)
      const stats = await sure(client, `stats-job ${id}`)
      if (!stats.body) simulator.fail(`${job.name} is there and has no statistics: ${stats.line}`)
      else found.push(compareJob(tubes, job, stats))
    }
  }
  return found
}

function compareJob(tubes: TubeWorld, job: Job, answer: Asked): Found {
  const { history, simulator } = tubes
  const stats = statisticsOf(answer)
  const state = /^state: (\w+)$/m.exec(String(answer.body))?.[1] ?? ''
  const tube = /^tube: "(\w+)"$/m.exec(String(answer.body))?.[1]
  const { pri = -1, reserves = -1 } = stats
  const fail = (what: string): void => simulator.fail(`${job.name} ${what}: ${String(answer.body)}`)
  if (tube !== job.tube) fail(`is not in ${job.tube}`)
  if (job.priority !== undefined && pri !== job.priority) fail(`does not have priority ${job.priority}`)
  // What is delayed becomes ready in time.
  const states: unknown[] = job.state === 'delayed' ? ['delayed', 'ready'] : [job.state]
  if (job.state !== undefined && job.state !== 'reserved' && !states.includes(state)) fail(`is not ${job.state}`)
  for (const [name, { least, most }] of Object.entries(job.counts)) {
    const count = stats[name] ?? -1
    if (count < least || count > most) fail(`has ${count} ${name}, not ${least} to ${most}`)
  }
  // Reservations that nothing followed are not kept across a restart.
  if (reserves > job.reserves + history.lostReserves) fail(`was reserved ${job.reserves} times at the most`)
  if (reserves < job.counts.releases.least + job.counts.buries.least) fail('was reserved more often')
  return { job, state, priority: pri }
}

/** Conservation: each tube holds what the census found, in the same states. */
async function compareCounts(tubes: TubeWorld, client: TubeClient, found: readonly Found[]): Promise<void> {
  const { simulator } = tubes
  for (const tube of tubeNames(tubes)) {
    const answer = await sure(client, `stats-tube ${tube}`)
    const stats = statisticsOf(answer)
    const here = found.filter(({ job }) => job.tube === tube)
    if (here.length === 0) {
      if (answer.line !== 'NOT_FOUND') simulator.fail(`tube ${tube} is empty, and there: ${String(answer.body)}`)
      continue
    }
    const buried = here.filter(({ state }) => state === 'buried').length
    const { 'current-jobs-ready': ready = -1, 'current-jobs-delayed': delayed = -1 } = stats
    if (stats['current-jobs-buried'] !== buried || ready + delayed !== here.length - buried) {
      simulator.fail(`tube ${tube} holds ${here.length} jobs, ${buried} of them buried: ${String(answer.body)}`)
    }
  }
}

async function drain(tubes: TubeWorld, client: TubeClient, found: readonly Found[]): Promise<void> {
  const { simulator } = tubes
  for (const tube of new Set(found.map(({ job }) => job.tube))) {
    const here = found.filter(({ job }) => job.tube === tube)
    for (const line of [`use ${tube}`, `watch ${tube}`, 'ignore default']) await sure(client, line)
    while ((await sure(client, 'kick 100000')).line !== 'KICKED 0');
    const order = here.sort((a, b) => a.priority - b.priority || (a.job.id ?? 0) - (b.job.id ?? 0))
    for (const { job } of order) {
      const answer = await sure(client, 'reserve-with-timeout 2')
      if (answer.line.split(' ')[1] !== String(job.id)) simulator.fail(`${job.name} is next, not ${answer.line}`)
      const { line } = await sure(client, `delete ${job.id}`)
      if (line !== 'DELETED') simulator.fail(`${job.name} cannot be deleted: ${line}`)
      job.deletedMs = simulator.nowMs
    }
    const { line } = await sure(client, 'reserve-with-timeout 0')
    if (line !== 'TIMED_OUT') simulator.fail(`tube ${tube} is empty, and there is ${line}`)
    await sure(client, `watch default`)
    await sure(client, `ignore ${tube}`)
    await sure(client, 'use default')
    const stats = await sure(client, `stats-tube ${tube}`)
    if (stats.line !== 'NOT_FOUND') simulator.fail(`tube ${tube} is empty, and there: ${String(stats.body)}`)
  }
}
