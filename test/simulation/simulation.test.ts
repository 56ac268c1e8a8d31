import assert from 'node:assert/strict'
import test from 'node:test'
import { catchBroken, loadScenario } from './scenarios.ts'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)

/** How often each scenario runs here; the long campaigns are `npm run sim -- --minutes M`. */
const seedCounts = { chain: 30, broker: 2, queues: 2, keys: 2, sessions: 2 }

for (const [name, count] of Object.entries(seedCounts)) {
  test(`scenario ${name} keeps all promises (SEED=${seed})`, async () => {
    const { run } = await loadScenario(name)
    for (let round = 0; round < count; round++) {
      await run(seed + round).catch((error: unknown) => {
        throw new Error(`npm run sim -- --scenario ${name} --seed ${seed + round}`, { cause: error })
      })
    }
  })

  test(`scenario ${name} is the same for the same seed (SEED=${seed})`, async () => {
    const { run } = await loadScenario(name)
    const first = await run(seed)
    assert.deepEqual(await run(seed), first)
  })
}

/** Rules whose loss shows soon; `npm run sim -- --broken` tries all. */
const quick = {
  chain: [
    'R1 fences are deleted',
    'R2 no second look at the checkpoints',
    'R4 an ambiguous answer counts as success',
    'R4 a block of another writer counts as ours',
    'R5 acknowledged before it is durable',
    'R6 blocks are deleted without a checkpoint',
  ],
  broker: [
    'the sync of the journal is skipped',
    'acknowledged before it is durable',
    'segments are not synced',
    'a block is written before the large batches that it tells of',
    'compaction drops the newest record of a key',
    'an accepted record is not written down',
    'a partition goes to its next owner before it is given up',
  ],
  queues: [
    'what is said of a job is answered before it is durable',
    'a deleted job is not written down',
    'the least urgent job comes first',
    'a route that is kept outlives its binding',
    'a message that comes again is not marked',
    'a dead letter is lost',
  ],
  sessions: ['a message is acknowledged before it is durable', 'subscriptions are not in checkpoints'],
  keys: ['a command is answered before it is durable', 'the end at which elements were pushed is not in checkpoints'],
}

for (const [name, rules] of Object.entries(quick)) {
  for (const rule of rules) {
    test(`the checkers of scenario ${name} notice when ${rule}`, async () => {
      assert(await catchBroken(name, rule, name === 'chain' ? 60 : 15))
    })
  }
}
