import { readFile } from 'node:fs/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openBroker, type RunningBroker, type Settings } from '@dragoman/broker'
import {
  flagOf,
  optionTable,
  parseYaml,
  readEnvironment,
  readFile as readFileOptions,
  readFlags,
  sections,
  settle,
  showHostPort,
  type Given,
} from '@dragoman/broker/options'
import { entries } from '@dragoman/broker/entries'
import { defineCommand, optional, UsageError, type Parameter } from '../command.ts'
import { exitCodes } from '../exit-codes.ts'
import { packageVersion } from '../package-version.ts'

/** A shutdown that takes longer is given up. */
const shutdownMsMax = 10_000

const table = optionTable(entries)

const options: Record<string, Parameter<unknown>> = {}
for (const [name, { kind, default: value, section, help }] of table) {
  options[name] = {
    ...optional(kind, help),
    shown: kind.placeholder === '' ? '' : kind.show(value),
    section: sections[section],
  }
}

export const serve = defineCommand({
  name: 'serve',
  summary: 'Run the broker until SIGTERM or SIGINT.',
  words: [],
  options,
  raw: true,
  examples: [
    ['dragoman serve', 'Every protocol on its standard port of 127.0.0.1, data in ./dragoman-data.'],
    ['dragoman serve --data /var/lib/dragoman --only kafka', 'Another directory, and only the Kafka listener.'],
    ['dragoman serve --data memory --kafka 0', 'Nothing on disk, any free port.'],
    [
      'dragoman serve --kafka 0.0.0.0:9092 --kafka-advertised broker.example:9092 --insecure',
      'For a network that keeps strangers out by itself.',
    ],
    ['DRAGOMAN_DURABILITY=os dragoman serve --config dragoman.yaml', 'Options from the environment and from a file.'],
  ],
  notes: `Each option is also an environment variable (--kafka: DRAGOMAN_KAFKA) and a key of the YAML file that --config names
(kafka: 9092). A flag wins over the environment, the environment over the file.

Prints a line for each listener, then one that begins with "ready". The log goes to stderr. SIGTERM, SIGINT and SIGHUP stop accepting,
make everything durable and end with exit code 0; a second signal ends at once. After SIGUSR1 clients of beanstalkd put no
jobs in any more (DRAINING), and those that are there are worked off.`,
  async run({ words }) {
    const startMs = performance.now()
    process.on('uncaughtException', stopAtBug)
    const settings = await readSettings(words)
    await loadCode(settings)
    const broker = await waitedFor(openBroker(settings))
    drainAtSignal(broker)
    const stopped = stopSignal()
    announce(broker, settings, Math.round(performance.now() - startMs))
    giveBackMemory()
    await stopped
    return shutDown(broker)
  },
})

/** A start may have to wait, for room on the disk, and nothing else would keep the process alive. */
async function waitedFor(opening: Promise<RunningBroker>): Promise<RunningBroker> {
  const alive = setInterval(() => {}, 2 ** 30)
  try {
    return await opening
  } finally {
    clearInterval(alive)
  }
}

async function readSettings(args: readonly string[]): Promise<Settings> {
  const flags = readFlags(table, args)
  const environment = readEnvironment(table, process.env)
  const path = flags.get('config')?.text ?? environment.get('config')?.text
  const sources: Given[] = [flags, environment]
  if (path !== undefined) sources.push(readFileOptions(table, await parseYaml(await readConfig(path), path), path))
  return settle(entries, sources)
}

/** Loads what will listen before it is needed: until then V8 optimizes nothing (see dragoman.js), and restoring a directory is work. */
async function loadCode({ listeners }: Settings): Promise<void> {
  const isOn = ({ name }: (typeof entries)[number]): boolean => {
    const values = listeners.get(name)
    return values !== undefined && (values.at !== 'off' || values.tls !== 'off')
  }
  await Promise.all(entries.filter(isOn).map(entry => entry.load()))
  for (const flag of ['--opt', '--maglev']) setFlagsFromString(flag)
}

async function readConfig(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new UsageError(
      `Cannot read ${path} for ${flagOf('config')}: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
}

function announce(broker: RunningBroker, { data, durability }: Settings, tookMs: number): void {
  for (const { name, address } of broker.listeners)
    process.stdout.write(`${name.padEnd(10)} ${showHostPort(address)}\n`)
  const how =
    data === 'memory'
      ? 'in memory, gone when the process ends'
      : `durability ${durability} (${durabilityWords[durability]})`
  process.stdout.write(`ready      dragoman ${packageVersion}, data ${data}, ${how}, started in ${tookMs} ms\n`)
}

/** The pause grows with what is in the heap: 35 ms for 20 MB of code. A broker that has restored more than that goes on at once. */
const collectedBytesMax = 48 * 2 ** 20

/** Loading the code leaves 8 MB that V8 would give back to the system only much later, or never if nobody connects. */
function giveBackMemory(): void {
  if (process.memoryUsage().heapUsed < collectedBytesMax) {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as NodeJS.GCFunction
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  }
  // See dragoman.js: from here on the young generation grows as it does by default.
  setFlagsFromString('--semi-space-growth-factor=2')
}

const durabilityWords = {
  fsync: 'on disk before it is acknowledged',
  os: 'a power cut loses the last seconds',
} as const

/** One Ctrl-C arrives twice under npm: from the terminal, and passed on by npm. */
const sameSignalMs = 500

/** A bug in the core: what it would write next may be wrong, what is acknowledged is safe. */
function stopAtBug(error: Error): void {
  process.stderr.write(`dragoman: stopped by a bug: ${error.stack ?? error.message}\n`)
  process.exit(exitCodes.fatal)
}

const stopSignals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

/** What asks for the drain mode of work queues. The runtime would begin to debug with it. */
const drainSignal = 'SIGUSR1'

function drainAtSignal(broker: RunningBroker): void {
  process.on(drainSignal, () => {
    broker.core.work.isDraining = true
    process.stderr.write('dragoman: no jobs are taken any more, until the next start\n')
  })
}

/** Resolves at the first signal. From then on a signal ends the process at once. */
function stopSignal(): Promise<void> {
  return new Promise(resolve => {
    // Without listeners nothing else would keep the process alive.
    const alive = setInterval(() => {}, 2 ** 30)
    const stop = (): void => {
      clearInterval(alive)
      const firstMs = performance.now()
      const stopAtOnce = (signal: NodeJS.Signals): void => {
        if (signal === 'SIGINT' && performance.now() - firstMs < sameSignalMs) return
        process.exit(exitCodes.failed)
      }
      for (const signal of stopSignals) {
        process.off(signal, stop)
        process.on(signal, stopAtOnce)
      }
      resolve()
    }
    for (const signal of stopSignals) process.on(signal, stop)
  })
}

async function shutDown(broker: RunningBroker): Promise<number> {
  const giveUp = setTimeout(() => {
    process.stderr.write(`dragoman: Cannot stop within ${shutdownMsMax / 1000} s; what was acknowledged is safe\n`)
    process.exit(exitCodes.failed)
  }, shutdownMsMax)
  await broker.close()
  clearTimeout(giveUp)
  return exitCodes.done
}
