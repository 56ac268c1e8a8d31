import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { fresh, runChecks, until, type Check, type Client } from '../suite.ts'
import { versions } from '../versions.ts'

export const kcatClient: Client = {
  name: 'kcat',
  pinned: versions.kcat,
  version() {
    const text = spawnSync('kcat', ['-V'], { encoding: 'utf8' }).stdout
    return `${/Version (\S+)/.exec(text)?.[1]}, librdkafka ${/librdkafka (\d+\.\d+\.\d+)/.exec(text)?.[1]}`
  },
  from: 'Debian 12',
  missing: () => (spawnSync('kcat', ['-V']).status === 0 ? undefined : 'not installed (apt install kcat)'),
  run: (place, report) => runChecks(kcatChecks(place.address), report),
}

export function kcatChecks(address: string): Check[] {
  const kcat = new Kcat(address)
  const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
  return [
    ...codecs.map((codec): Check => ({ capability: `codec ${codec}`, run: () => roundTrip(kcat, codec) })),
    { capability: 'headers, keys, timestamps, tombstones', run: () => wholeRecords(kcat) },
    { capability: 'acks 0, 1, all', run: () => everyAcks(kcat) },
    { capability: 'idempotent producer', run: () => idempotent(kcat) },
    { capability: 'long poll', run: () => longPoll(kcat) },
    { capability: 'offsets: earliest, latest', run: () => offsets(kcat) },
    { capability: 'offsets by time', run: () => offsetsByTime(kcat) },
    { capability: 'seek', run: () => seek(kcat) },
    { capability: 'group: commit and resume', run: () => resume(kcat) },
    { capability: 'admin: cluster', run: () => cluster(kcat) },
    { capability: 'topic made by first use', run: () => roundTrip(kcat, 'none') },
  ]
}

/** Runs the command; its output line by line. */
class Kcat {
  readonly #address: string

  constructor(address: string) {
    this.#address = address
  }

  async run(words: string[], input = ''): Promise<string[]> {
    const child = spawn('kcat', ['-b', this.#address, '-X', 'log_level=3', ...words])
    const text = { out: '', error: '' }
    child.stdout.on('data', (chunk: Buffer) => (text.out += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (text.error += chunk.toString()))
    child.stdin.end(input)
    const code = await new Promise(resolve => child.on('close', resolve))
    assert.equal(code, 0, `kcat ${words.join(' ')}: ${text.error}`)
    return text.out.split('\n').filter(line => line !== '')
  }

  async send(topic: string, lines: string[], ...words: string[]): Promise<void> {
    await this.run(['-P', '-t', topic, ...words], lines.join('\n'))
  }

  async read(topic: string, ...words: string[]): Promise<string[]> {
    return this.run(['-C', '-t', topic, '-o', 'beginning', '-e', '-q', ...words])
  }

  /** A consumer that runs until it is killed; `lines` grows. */
  follow(words: string[]): { lines: string[]; stop(): Promise<void> } {
    const child = spawn('kcat', ['-b', this.#address, '-u', '-q', ...words])
    const lines: string[] = []
    child.stdout.on(
      'data',
      (chunk: Buffer) =>
        void lines.push(
          ...chunk
            .toString()
            .split('\n')
            .filter(line => line !== ''),
        ),
    )
    const closed = new Promise<void>(resolve => child.on('close', () => resolve()))
    return { lines, stop: () => (child.kill('SIGTERM'), closed) }
  }
}

const numbered = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `value ${from + index}`)

async function roundTrip(kcat: Kcat, codec: string): Promise<void> {
  const topic = fresh('kcat')
  const sent = [...numbered(300), 'x'.repeat(200_000)]
  await kcat.send(topic, sent, '-z', codec)
  assert.deepEqual(await kcat.read(topic), sent)
}

async function wholeRecords(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  await kcat.send(topic, ['a:one'], '-K', ':', '-H', 'trace=x', '-H', 'more=y')
  await kcat.send(topic, ['a:'], '-K', ':', '-Z')
  const lines = await kcat.read(topic, '-f', '%k|%S|%h|%o|%p\n')
  assert.deepEqual(lines, ['a|3|trace=x,more=y|0|0', 'a|-1||1|0'])
}

async function everyAcks(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  for (const acks of ['0', '1', 'all']) await kcat.send(topic, [acks], '-X', `acks=${acks}`)
  assert.deepEqual(await kcat.read(topic), ['0', '1', 'all'])
}

async function idempotent(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  const sent = numbered(2000)
  await kcat.send(topic, sent, '-X', 'enable.idempotence=true', '-X', 'batch.num.messages=50')
  assert.deepEqual(await kcat.read(topic), sent)
}

async function longPoll(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  await kcat.send(topic, ['first'])
  // The wait is longer than a check may take: only a fetch that the record itself wakes can pass.
  const wait = ['-X', 'fetch.wait.max.ms=100000', '-X', 'socket.timeout.ms=120000']
  const reader = kcat.follow(['-C', '-t', topic, '-o', 'beginning', ...wait])
  await until(() => reader.lines.length === 1)
  await kcat.send(topic, ['wake'])
  await until(() => reader.lines.length === 2)
  await reader.stop()
}

async function offsets(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  await kcat.send(topic, numbered(10))
  assert.deepEqual(await kcat.run(['-Q', '-t', `${topic}:0:-2`]), [`${topic} [0] offset 0`])
  assert.deepEqual(await kcat.run(['-Q', '-t', `${topic}:0:-1`]), [`${topic} [0] offset 10`])
}

async function offsetsByTime(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  await kcat.send(topic, numbered(3))
  const [stamp] = await kcat.read(topic, '-f', '%T\n')
  assert.deepEqual(await kcat.run(['-Q', '-t', `${topic}:0:${stamp}`]), [`${topic} [0] offset 0`])
  assert.deepEqual(await kcat.run(['-Q', '-t', `${topic}:0:${Number(stamp) + 3_600_000}`]), [`${topic} [0] offset -1`])
  assert.deepEqual(await kcat.run(['-C', '-t', topic, '-o', `s@${stamp}`, '-e', '-q']), numbered(3))
}

async function seek(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  await kcat.send(topic, numbered(20))
  assert.deepEqual(await kcat.run(['-C', '-t', topic, '-o', '15', '-e', '-q']), numbered(5, 15))
  assert.deepEqual(await kcat.run(['-C', '-t', topic, '-o', '-2', '-e', '-q']), numbered(2, 18))
}

async function resume(kcat: Kcat): Promise<void> {
  const topic = fresh('kcat')
  const group = fresh('kcat-group')
  const take = (count: number) =>
    kcat.run([
      '-G',
      group,
      '-q',
      '-c',
      String(count),
      '-X',
      'auto.offset.reset=earliest',
      '-X',
      'session.timeout.ms=6000',
      topic,
    ])
  await kcat.send(topic, numbered(10))
  assert.deepEqual(await take(10), numbered(10))
  await kcat.send(topic, numbered(10, 10))
  assert.deepEqual(await take(10), numbered(10, 10))
}

async function cluster(kcat: Kcat): Promise<void> {
  const metadata = JSON.parse((await kcat.run(['-L', '-J'])).join('')) as { brokers: unknown[]; controllerid: number }
  assert.equal(metadata.brokers.length, 1)
}
