import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaJars, kafkaVersion, resolveKafka } from '../../../bench/peers/kafka.ts'
import { cacheDirectory, fill, isThere } from '../fetched.ts'
import { runProgram, runToEnd } from '../program.ts'
import type { Client, Place, Report } from '../suite.ts'
import { versions } from '../versions.ts'

const sources = join(import.meta.dirname, 'java')
const streamsDirectory = cacheDirectory(join('maven', `kafka-streams-${kafkaVersion}`))
const minute = 60_000

/** Kafka's own client library, in a program of ours. */
export const javaClient: Client = {
  name: 'kafka-clients (Java)',
  pinned: versions.kafka,
  from: 'Maven',
  wantsSecure: true,
  version: () => kafkaVersion,
  missing: () => resolveKafka() ?? (isThere('javac', '-version') ? undefined : 'no JDK on this machine'),
  run: (place, report) => runJava('Clients', secureWords(place), `${kafkaJars}/*`, place, report),
}

/** Kafka Streams, which takes groups, compacted topics and transactions together. */
export const streamsClient: Client = {
  name: 'Kafka Streams',
  pinned: versions.kafka,
  from: 'Maven',
  version: () => kafkaVersion,
  missing: () => javaClient.missing() ?? fetchStreams(),
  async run(place, report) {
    const state = mkdtempSync(join(tmpdir(), 'dragoman-streams-'))
    try {
      await runJava('WordCount', [state], `${streamsDirectory}/jars/*`, place, report)
    } finally {
      rmSync(state, { recursive: true, force: true })
    }
  },
}

/** For a program that has no reader of JSON. */
function secureWords({ secure }: Place): string[] {
  if (secure === undefined) return []
  const { plain, tls, authority, certificate, key, user, password, token } = secure
  return [plain, tls, authority, certificate, key, user, password, token]
}

function fetchStreams(): string | undefined {
  const dependency = `<groupId>org.apache.kafka</groupId><artifactId>kafka-streams</artifactId><version>${kafkaVersion}</version>`
  const project = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>dragoman.interop</groupId><artifactId>streams</artifactId><version>1</version>
  <dependencies><dependency>${dependency}</dependency></dependencies>
</project>
`
  return fill(streamsDirectory, directory => {
    const file = join(directory, 'pom.xml')
    writeFileSync(file, project)
    const goal = ['-q', '-B', '-f', file, 'dependency:copy-dependencies', `-DoutputDirectory=${directory}/jars`]
    return [{ command: 'mvn', args: goal }]
  })
}

/** Compiles a program of this folder and runs it. */
async function runJava(name: string, words: string[], jars: string, place: Place, report: Report): Promise<void> {
  const classes = mkdtempSync(join(tmpdir(), 'dragoman-classes-'))
  try {
    const args = ['-nowarn', '-d', classes, '-cp', jars, '-sourcepath', sources, join(sources, `${name}.java`)]
    const compiled = await runToEnd({ command: 'javac', args, timeoutMs: 5 * minute })
    if (compiled.code !== 0) return report(`program: ${name}`, { kind: 'failed', reason: compiled.error })
    const jvm = ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xmx256m', '-Dlog4j2.level=OFF']
    const run = [...jvm, '-cp', `${classes}:${jars}`, name, place.address, ...words]
    await runProgram({ command: 'java', args: run }, report)
  } finally {
    rmSync(classes, { recursive: true, force: true })
  }
}
