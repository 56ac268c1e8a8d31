import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { cacheDirectory, clone, fill, isThere } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import type { Client, Outcome, Place, Report } from '../suite.ts'
import { versions } from '../versions.ts'
import { likeRabbitmq, missingRedirect, redirected } from './redirect.ts'

const minute = 60_000
const directory = cacheDirectory(join('amqp', `java-${versions.rabbitmqJava}`))
const sources = join(directory, 'sources')
const jars = join(directory, 'jars')
const classes = join(directory, 'classes')
const junit = '1.12.2'
/** It has all of JUnit, and comes before what others bring of it. */
const launcherJar = join(jars, `junit-platform-console-standalone-${junit}.jar`)
const packageName = 'com.rabbitmq.client.test'
const testsDirectory = join(sources, 'src', 'test', 'java', ...packageName.split('.'))

/** What its tests need, in the versions of its own project. */
const libraries = [
  `com.rabbitmq:amqp-client:${versions.rabbitmqJava}`,
  `org.junit.platform:junit-platform-console-standalone:${junit}`,
  `org.junit.platform:junit-platform-suite-api:${junit}`,
  'ch.qos.logback:logback-classic:1.2.13',
  'org.mockito:mockito-core:5.15.2',
  'org.assertj:assertj-core:3.27.3',
  'com.google.code.gson:gson:2.12.1',
  'io.dropwizard.metrics:metrics-core:4.2.30',
  'io.micrometer:micrometer-core:1.14.3',
  'com.github.netcrusherorg:netcrusher-core:0.10',
  'com.fasterxml.jackson.core:jackson-databind:2.18.2',
  'io.opentelemetry:opentelemetry-sdk-testing:1.46.0',
  'io.micrometer:micrometer-tracing-integration-test:1.4.2',
]

/** Classes that look into the broker, or stop and start it. */
const leftOut: Readonly<Record<string, string>> = {
  'functional.Metrics': 'closes connections by `rabbitmqctl`',
  'functional.ConnectionRecovery': 'closes connections by `rabbitmqctl`',
  'functional.TopologyRecoveryFiltering': 'closes connections by `rabbitmqctl`',
  'functional.TopologyRecoveryRetry': 'closes connections by `rabbitmqctl`',
  'functional.Policies': 'sets policies by `rabbitmqctl`',
  'functional.MicrometerObservationCollectorMetrics': 'tries what the client tells of itself',
}
/** They restart the broker by `rabbitmqctl`, and without it leave a queue behind that is in the way of others. */
const restarting = '.*restartingExpiry.*'

/** Tests of the server: those that neither restart it nor ask it by its own tools. */
const serverClasses = ['AlternateExchangeEquivalence', 'ExclusiveQueueDurability', 'PriorityQueues', 'Bug19219Test']

export const javaClient: Client = {
  name: "RabbitMQ's Java client, its functional tests",
  pinned: versions.rabbitmqJava,
  from: 'Maven; its tests from GitHub',
  serve: likeRabbitmq,
  version: () => versions.rabbitmqJava,
  missing() {
    if (!isThere('javac', '-version') || !isThere('mvn', '-v')) return 'no JDK or no Maven on this machine'
    return missingRedirect() ?? fillDirectory()
  },
  async run(place, report) {
    for (const [name, reason] of Object.entries(leftOut)) report(`test: ${name}`, { kind: 'skipped', reason })
    for (const name of classNames()) {
      if (name.includes(place.only ?? '')) await runClass(place, name, report)
    }
  },
}

function fillDirectory(): string | undefined {
  return fill(directory, () => {
    const project = join(directory, 'pom.xml')
    writeFileSync(project, projectFile())
    const tools = join(directory, 'rabbitmqctl')
    writeFileSync(tools, '#!/bin/sh\necho "there is no rabbitmqctl" >&2\nexit 1\n')
    chmodSync(tools, 0o755)
    const goal = ['-q', '-B', '-f', project, 'dependency:copy-dependencies', `-DoutputDirectory=${jars}`]
    const tree = join(sources, 'src', 'test', 'java')
    const files = `${testsDirectory}/functional/*.java ${testsDirectory}/server/*.java`
    const compile = `javac -nowarn -d ${classes} -cp '${jars}/*' -sourcepath ${tree} ${files}`
    return [
      { command: 'mkdir', args: [sources, classes] },
      { ...clone('rabbitmq/rabbitmq-java-client', `v${versions.rabbitmqJava}`), cwd: sources },
      { command: 'mvn', args: goal },
      { command: 'sh', args: ['-c', compile] },
    ]
  })
}

function projectFile(): string {
  const dependencies = libraries.map(library => {
    const [group, artifact, version] = library.split(':')
    return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`
  })
  return `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>dragoman.interop</groupId><artifactId>amqp</artifactId><version>1</version>
  <dependencies>${dependencies.join('\n')}</dependencies>
</project>
`
}

function classNames(): string[] {
  const functional = readdirSync(join(testsDirectory, 'functional'))
    .map(file => basename(file, '.java'))
    .filter(name => !/Suite$|Base$|^Abstract/.test(name))
  return [...functional.map(name => `functional.${name}`), ...serverClasses.map(name => `server.${name}`)].filter(
    name => !(name in leftOut),
  )
}

async function runClass(place: Place, name: string, report: Report): Promise<void> {
  const reports = mkdtempSync(join(tmpdir(), 'dragoman-junit-'))
  const options = ['-Xmx400m', '-XX:TieredStopAtLevel=1', `-Drabbitmqctl.bin=${join(directory, 'rabbitmqctl')}`]
  const properties = [...options, '-Dtest-broker.A.nodename=rabbit@localhost']
  const select = [
    '--select-class',
    `${packageName}.${name}`,
    '--reports-dir',
    reports,
    '--details=none',
    '--exclude-methodname',
    restarting,
  ]
  const launcher = ['org.junit.platform.console.ConsoleLauncher', 'execute', '--disable-banner', ...select]
  try {
    const args = [...properties, '-cp', `${classes}:${launcherJar}:${jars}/*`, ...launcher]
    const ended = await runToEnd({ command: 'java', args, env: redirected(place), timeoutMs: 3 * minute })
    const cases = readdirSync(reports).flatMap(file => casesOf(readFileSync(join(reports, file), 'utf8')))
    // Some files have classes that others extend, or tests that are not marked as such: the launcher ends well all the same.
    if (cases.length === 0 && ended.code !== 0) {
      report(`test: ${name}`, {
        kind: 'failed',
        reason: (ended.code === null ? 'it did not end' : ended.error).replaceAll(/\s+/g, ' ').slice(0, 200),
      })
    }
    for (const [test, outcome] of cases) report(`test: ${name}.${test}`, outcome)
  } finally {
    rmSync(reports, { recursive: true, force: true })
  }
}

/** The tests of a report of JUnit, in its own XML. */
function casesOf(xml: string): [string, Outcome][] {
  return [...xml.matchAll(/<testcase name="([^"]*)"[^>]*>([\s\S]*?)<\/testcase>/g)].map(([, name = '', body = '']) => {
    const test = name.replace(/\(.*$/, '')
    const bad = /<(failure|error|skipped)(?: message="([^"]*)")?[^>]*>/.exec(body)
    if (!bad) return [test, { kind: 'passed' }]
    const reason = decoded(bad[2] ?? '').slice(0, 250) || 'see its report'
    if (bad[1] === 'skipped') return [test, { kind: 'skipped', reason }]
    if (body.includes('rabbitmqctl')) return [test, { kind: 'skipped', reason: 'asks the broker by `rabbitmqctl`' }]
    return [test, { kind: 'failed', reason }]
  })
}

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&' }

function decoded(text: string): string {
  return text.replaceAll(/&(#?\w+);/g, (_, name: string) => entities[name] ?? ' ').replaceAll(/\s+/g, ' ')
}
