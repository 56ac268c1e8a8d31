// The same requests to Apache Kafka and to us, answers compared: `node test/interop/kafka/differential/main.ts`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect, parseArgs } from 'node:util'
import { kafka } from '../../../../bench/peers/kafka.ts'
import { startDragoman } from '../../../support/dragoman.ts'
import { unusedReasons } from './allowed.ts'
import { runDifferential } from './differential.ts'

const usage = `usage: node test/interop/kafka/differential/main.ts [--theirs HOST:PORT] [--ours HOST:PORT] [--only TEXT] [--show]
Starts both brokers unless their addresses are given. --only takes the cases whose name has TEXT, --show prints their answers.
`

const { values } = parseArgs({
  options: {
    theirs: { type: 'string' },
    ours: { type: 'string' },
    only: { type: 'string', default: '' },
    show: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}
const missing = values.theirs === undefined ? kafka.missing() : undefined
if (missing !== undefined) {
  process.stdout.write(`Nothing to compare with: ${missing}\n`)
  process.exit(0)
}
const directory = mkdtempSync(join(tmpdir(), 'dragoman-differential-'))
const theirs =
  values.theirs === undefined ? await kafka.start({ directory: join(directory, 'kafka'), durability: 'os' }) : undefined
const ours = values.ours === undefined ? await startDragoman({ data: join(directory, 'data') }) : undefined
let count = 0
let failed = 0
try {
  const explained = await runDifferential({
    theirs: values.theirs ?? theirs?.address ?? '',
    ours: values.ours ?? ours?.address ?? '',
    compared({ name }, their, unexplained) {
      count++
      failed += unexplained.length
      if (!name.includes(values.only)) return
      if (values.show) print(`${name}\n${inspect(their, { depth: 12, breakLength: 160, maxArrayLength: 400 })}`)
      for (const difference of unexplained) print(`${name}\n    ${difference}`)
    },
  })
  print(`${count} requests, ${failed} differences, ${explained} with a reason`)
  for (const reason of unusedReasons()) print(`No longer needed: ${reason}`)
} finally {
  await ours?.process.stop()
  await theirs?.process.stop()
  rmSync(directory, { recursive: true, force: true })
}
process.exit(failed === 0 && count > 0 ? 0 : 1)

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
