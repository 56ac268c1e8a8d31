import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../../test/support/dragoman.ts'
import { ServerProcess } from '../../test/support/server-process.ts'
import type { Durability, Peer, PeerOptions, Running } from './peer.ts'
import { freePorts, untilItAccepts } from './ports.ts'

export const kafkaVersion = '4.2.0'

/** The published jars of the broker and of its console tools, with their dependencies. */
export const kafkaJars = join(repository, '.cache', 'kafka', kafkaVersion)

const projectFile = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>dragoman.bench</groupId><artifactId>kafka-peer</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${kafkaVersion}</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>${kafkaVersion}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.3</version></dependency>
  </dependencies>
</project>
`

/** What the start script of the distribution passes to the JVM. */
const jvmArgs =
  '-server -Xms1G -Xmx1G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 ' +
  '-XX:+ExplicitGCInvokesConcurrent -Djava.awt.headless=true'

/** One KRaft node of Apache Kafka with the settings of its own `server.properties`. */
export const kafka: Peer = {
  name: 'kafka',
  title(durability: Durability): string {
    const flush = durability === 'fsync' ? 'log.flush.interval.messages=1' : 'no flush, its default'
    return `Apache Kafka ${kafkaVersion} (${flush})`
  },
  missing: () => resolveKafka(),
  async start({ directory, durability }: PeerOptions): Promise<Running> {
    const [port, controllerPort] = await freePorts(2)
    if (port === undefined || controllerPort === undefined) throw new Error('No free port on loopback')
    mkdirSync(directory, { recursive: true })
    const settings = join(directory, 'server.properties')
    writeFileSync(settings, serverProperties(directory, port, controllerPort, durability))
    if (!existsSync(join(directory, 'log', 'meta.properties'))) format(settings)
    const started = await ServerProcess.start({
      command: 'java',
      args: [...jvmArgs.split(' '), '-cp', `${kafkaJars}/*`, ...logging(directory), 'kafka.Kafka', settings],
      isReady: line => line.includes('Kafka Server started'),
    })
    const address = `127.0.0.1:${port}`
    await untilItAccepts(port)
    return { process: started, port, address }
  },
}

/** Makes sure that the jars are there; what keeps them away otherwise. */
export function resolveKafka(): string | undefined {
  if (spawnSync('java', ['-version']).status !== 0) return 'no Java on this machine'
  if (existsSync(join(kafkaJars, `kafka-tools-${kafkaVersion}.jar`))) return undefined
  if (spawnSync('mvn', ['-v']).status !== 0) return 'no Maven on this machine to fetch its jars'
  mkdirSync(kafkaJars, { recursive: true })
  writeFileSync(join(kafkaJars, 'pom.xml'), projectFile)
  const goal = [
    '-q',
    '-B',
    '-f',
    join(kafkaJars, 'pom.xml'),
    'dependency:copy-dependencies',
    `-DoutputDirectory=${kafkaJars}`,
  ]
  const fetched = spawnSync('mvn', goal, { encoding: 'utf8' })
  return fetched.status === 0 ? undefined : `Maven could not fetch its jars: ${fetched.stdout.trim().split('\n')[0]}`
}

function serverProperties(directory: string, port: number, controllerPort: number, durability: Durability): string {
  const lines = [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${controllerPort}`,
    `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names=CONTROLLER',
    'listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT',
    'num.network.threads=3',
    'num.io.threads=8',
    'socket.send.buffer.bytes=102400',
    'socket.receive.buffer.bytes=102400',
    'socket.request.max.bytes=104857600',
    `log.dirs=${join(directory, 'log')}`,
    'num.partitions=1',
    'offsets.topic.replication.factor=1',
    'share.coordinator.state.topic.replication.factor=1',
    'share.coordinator.state.topic.min.isr=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'log.segment.bytes=1073741824',
    // Lets a group form at once; it changes no throughput.
    'group.initial.rebalance.delay.ms=0',
  ]
  if (durability === 'fsync') lines.push('log.flush.interval.messages=1')
  return `${lines.join('\n')}\n`
}

function format(settings: string): void {
  const id = Buffer.from('dragoman-bench16').toString('base64url')
  const storageTool = ['-cp', `${kafkaJars}/*`, 'kafka.tools.StorageTool', 'format', '-t', id, '-c', settings]
  execFileSync('java', storageTool, { stdio: ['ignore', 'ignore', 'inherit'] })
}

/** Its log on standard output, from which the ready line is read. */
function logging(directory: string): string[] {
  const file = join(directory, 'log4j2.properties')
  const lines = [
    'status=error',
    'appender.out.type=Console',
    'appender.out.name=out',
    'appender.out.layout.type=PatternLayout',
    'appender.out.layout.pattern=%p %m (%c)%n',
    'rootLogger.level=warn',
    'rootLogger.appenderRef.out.ref=out',
    'logger.server.name=kafka.server.KafkaRaftServer',
    'logger.server.level=info',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return [`-Dlog4j2.configurationFile=${file}`]
}
