// The same requests to Apache Kafka and to us, answers compared: `node test/interop/kafka/differential/main.ts`.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { kafka } from '../../../../bench/peers/kafka.ts'
import { startDragoman } from '../../../support/dragoman.ts'
import { runDifferential } from './differential.ts'

const usage = `usage: node test/interop/kafka/differential/main.ts [--theirs HOST:PORT] [--ours HOST:PORT] [--only TEXT] [--show]
Starts both brokers unless their addresses are given. --only takes the cases whose name has TEXT, --show prints their answers.
`

const { values } = parseArgs({
  options: {
    theirs: { type: 'string' },
    ours: { type: 'string' },
    only: { type: 'string' },
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
let unexplained = 1
try {
  unexplained = await runDifferential({
    theirs: values.theirs ?? theirs?.address ?? '',
    ours: values.ours ?? ours?.address ?? '',
    only: values.only ?? '',
    show: values.show,
    print: line => void process.stdout.write(`${line}\n`),
  })
} finally {
  await ours?.process.stop()
  await theirs?.process.stop()
  rmSync(directory, { recursive: true, force: true })
}
process.exit(unexplained === 0 ? 0 : 1)
