import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafka, kafkaVersion, resolveKafka } from '../../../../bench/peers/kafka.ts'
import { apis } from '../../../../packages/broker/src/protocols/kafka/messages/index.ts'
import type { Client } from '../../suite.ts'
import { runDifferential } from './differential.ts'

/** Apache Kafka as a measure: the same requests to it and to us must be answered the same, but for what has a reason. */
export const differentialClient: Client = {
  name: 'Apache Kafka, request by request',
  pinned: '4.2.0',
  from: 'its published jars, as a second broker',
  version: () => kafkaVersion,
  missing: () => resolveKafka(),
  async run({ address }, report) {
    const directory = mkdtempSync(join(tmpdir(), 'dragoman-differential-'))
    const theirs = await kafka.start({ directory, durability: 'os' })
    const byRequest = new Map<string, { count: number; found: string[] }>()
    try {
      await runDifferential({
        theirs: theirs.address,
        ours: address,
        compared({ api, name }, _, unexplained) {
          const request = apis[api].name
          const seen = byRequest.get(request) ?? { count: 0, found: [] }
          byRequest.set(request, seen)
          seen.count++
          for (const difference of unexplained) seen.found.push(`${name}: ${difference}`)
        },
      })
    } finally {
      await theirs.process.stop()
      rmSync(directory, { recursive: true, force: true })
    }
    for (const [request, { count, found }] of byRequest) {
      report(
        `test: ${request}`,
        found.length === 0
          ? { kind: 'passed', detail: `${count} requests` }
          : { kind: 'failed', reason: found.join('; ') },
      )
    }
  },
}
