import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { trapRealWorld } from '../../packages/broker/src/runtime/simulated/trap.ts'
import { runJobs } from './jobs.ts'
import type { Report } from './report.ts'
import { catchBroken, loadScenario, scenarios } from './scenarios.ts'

const usage = `npm run sim -- [--scenario NAME] [--seed N [--count N] | --minutes M [--jobs J] | --broken [--rule WORDS] [--count N]]

  --scenario NAME  ${Object.keys(scenarios).join(' or ')}; default: all in turn
  --seed N         this seed; on a violation the tail of its trace is printed: LINES=5000 for more of it
  --count N        so many seeds from there
  --minutes M      seeds from the clock on, for so long
  --jobs J         in so many processes; default: as many as there are processors
  --rule WORDS     of the rules to break, those whose names have these words
  --broken         breaks one rule at a time and sees whether the checkers notice within --count seeds (default 3000 chain, 60 others)`

const linesTold = Number(process.env['LINES'] ?? 100)

const now = performance.now.bind(performance)
const total: Omit<Report, 'traceHash'> & { seeds: number } = {
  seeds: 0,
  operations: 0,
  events: 0,
  crashes: 0,
  takeovers: 0,
  acknowledged: 0,
}
const started = now()
let toldMs = started
// One of several processes goes with the one that has started it.
process.once('disconnect', () => process.exit())
process.channel?.unref()

const { values } = parseArgs({
  options: {
    scenario: { type: 'string' },
    seed: { type: 'string' },
    count: { type: 'string' },
    minutes: { type: 'string' },
    jobs: { type: 'string' },
    broken: { type: 'boolean' },
    rule: { type: 'string' },
    help: { type: 'boolean' },
  },
})

const jobs = values.minutes === undefined ? 1 : Number(values.jobs ?? availableParallelism())

if (values.help) console.log(usage)
else if (values.broken) process.exitCode = await tryBroken()
else if (jobs > 1) process.exitCode = await tryInJobs()
else process.exitCode = await trySeeds()

function wanted(): string[] {
  return values.scenario === undefined ? Object.keys(scenarios) : [values.scenario]
}

async function trySeeds(): Promise<number> {
  const seed = Number(values.seed ?? Date.now() % 2 ** 31)
  const minutes = values.minutes === undefined ? undefined : Number(values.minutes)
  const countMax = minutes === undefined ? Number(values.count ?? 1) : Infinity
  const untilMs = minutes === undefined ? Infinity : started + minutes * 60_000
  for (let count = 0; count < countMax && now() < untilMs; count++) {
    for (const name of wanted()) if (!(await trySeed(name, seed + count, minutes === undefined))) return 1
    total.seeds++
    process.send?.(total)
    tellNowAndThen()
  }
  console.log(`${summary()}, no violations`)
  return 0
}

function tellNowAndThen(): void {
  if (now() - toldMs < 10_000) return
  toldMs = now()
  console.log(summary())
}

async function tryInJobs(): Promise<number> {
  const scenario = values.scenario === undefined ? [] : ['--scenario', values.scenario]
  const code = await runJobs(jobs, ['--minutes', values.minutes ?? '', ...scenario], sums => {
    Object.assign(total, sums)
    tellNowAndThen()
  })
  console.log(code === 0 ? `${summary()}, no violations` : summary())
  return code
}

async function trySeed(name: string, seed: number, tells: boolean): Promise<boolean> {
  const { run } = await loadScenario(name)
  const restore = trapRealWorld()
  try {
    const report = await run(seed)
    restore()
    if (tells) console.log(`${name} seed ${seed}: ${JSON.stringify(report)}`)
    for (const key of ['operations', 'events', 'crashes', 'takeovers', 'acknowledged'] as const)
      total[key] += report[key]
    return true
  } catch (error) {
    restore()
    console.error(
      `VIOLATION in scenario ${name}, seed ${seed}: ${error instanceof Error ? error.message : String(error)}`,
    )
    await run(seed, lines => console.error(lines.slice(-linesTold).join('\n'))).catch(() => {})
    console.error(`Again: npm run sim -- --scenario ${name} --seed ${seed}`)
    return false
  }
}

function summary(): string {
  const seconds = (now() - started) / 1000
  const { seeds, operations, acknowledged, crashes, takeovers } = total
  const rate = ((operations / seconds) * 60) / 1e6
  return (
    `${seconds.toFixed(0)} s: ${seeds} seeds, ${operations} operations (${rate.toFixed(2)} million a minute), ` +
    `${acknowledged} acknowledged, ${crashes} crashes, ${takeovers} takeovers`
  )
}

async function tryBroken(): Promise<number> {
  let missed = 0
  for (const name of wanted()) {
    const seedsMax = Number(values.count ?? (name === 'chain' ? 3000 : 60))
    for (const rule of Object.keys(scenarios[name]?.broken ?? {})) {
      if (!rule.includes(values.rule ?? '')) continue
      const caught = await catchBroken(name, rule, seedsMax)
      if (!caught) missed++
      console.log(
        `${name}: ${rule}: ${caught ? `caught by seed ${caught.seeds}: ${caught.message.slice(0, 160)}` : `NOT caught in ${seedsMax} seeds`}`,
      )
    }
  }
  return missed === 0 ? 0 : 1
}
