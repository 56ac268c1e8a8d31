import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory, clone, fill, isThere } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import type { CaseName, Client, Report } from '../suite.ts'
import { versions } from '../versions.ts'
import { patternOf, testsOf, usesAny } from './tcl-tests.ts'

const sources = cacheDirectory(join('redis', versions.redisTests))

/** Files of tests that are about what is here. */
const units = [
  'unit/type/list',
  'unit/type/list-2',
  'unit/type/list-3',
  'unit/type/stream',
  'unit/type/stream-cgroups',
  'unit/type/string',
  'unit/type/incr',
  'unit/pubsub',
  'unit/pubsubshard',
  'unit/multi',
  'unit/expire',
  'unit/keyspace',
  'unit/protocol',
]

/** Commands that are left out on purpose: tests that use one of them cannot be run. */
const leftOut = [
  ...['sadd', 'smembers', 'srem', 'spop', 'scard', 'srandmember', 'sismember', 'sunionstore', 'smove'],
  ...['hset', 'hget', 'hmset', 'hgetall', 'hincrby', 'hincrbyfloat', 'hdel', 'hlen', 'hsetnx', 'hexists'],
  ...[
    'zadd',
    'zrange',
    'zscore',
    'zcard',
    'zrem',
    'zincrby',
    'bzpopmin',
    'bzpopmax',
    'zpopmin',
    'bzmpop',
    'zunionstore',
  ],
  ...[
    'sort',
    'sort_ro',
    'eval',
    'eval_ro',
    'evalsha',
    'script',
    'function',
    'fcall',
    'dump',
    'restore',
    'debug',
    'move',
  ],
  ...[
    'swapdb',
    'slaveof',
    'replicaof',
    'bgsave',
    'bgrewriteaof',
    'save',
    'setbit',
    'getbit',
    'bitcount',
    'bitop',
    'bitfield',
  ],
  ...[
    'lcs',
    'pfadd',
    'geoadd',
    'monitor',
    'slowlog',
    'latency',
    'acl',
    'memory',
    'cluster',
    'client\\s+pause',
    'client\\s+tracking',
  ],
  ...['config\\s+rewrite', 'lastsave', 'object\\s+freq', 'client\\s+caching', 'failover', 'sync', 'psync'],
]

/** Tests that ask for something that is done otherwise here, with the reason; patterns of their names. */
const others: readonly [string, string][] = [
  ['/should increase dirty', 'counts what a snapshot would have to write; there are none'],
  ['/CVE-', 'needs DEBUG or DUMP'],
  ['/MULTI with (SAVE|SHUTDOWN)', 'these commands are not there'],
  ['/evicted events', 'nothing is evicted'],
  ['/commandstats', 'commands are not counted one by one'],
  [
    '/DUMP|RESTORE|debug reload|AOF|RDB|replica|slave|propagat|lua|LUA|script|EVAL',
    'about replication, snapshots or scripts',
  ],
  ['/^XGROUP DESTROY should unblock XREADGROUP with -NOGROUP$', 'asks for statistics of each command'],
  ['/SELECT|SWAPDB|flushall.*db|MOVE|DB 9|other db', 'there is one database'],
]

/** The tests that Redis has for itself, run against the port of ours. */
export const redisTests: Client = {
  name: 'Redis, its own tests',
  pinned: versions.redisTests,
  from: 'sources by tag',
  version: () => versions.redisTests,
  // It sends very many commands one after the other.
  durability: 'os',
  missing() {
    if (!isThere('tclsh', '/dev/null')) return 'no Tcl (apt install tcl)'
    return fill(sources, directory => [
      clone('redis/redis', versions.redisTests),
      // Scripts are left out here, and so is forgetting them.
      {
        command: 'sed',
        args: [
          '-i',
          's/^\\( *\\)r function flush/\\1catch {r function flush}/',
          join(directory, 'tests/support/server.tcl'),
        ],
      },
      // Shards are meant for clusters, but answered by any server.
      { command: 'sed', args: ['-i', '1s/ external:skip//', join(directory, 'tests/unit/pubsubshard.tcl')] },
    ])
  },
  async run({ address, only }, report) {
    for (const unit of units) if (only === undefined || unit.includes(only)) await runUnit(unit, address, report)
  },
}

async function runUnit(unit: string, address: string, report: Report): Promise<void> {
  const [host = '', port = ''] = address.split(':')
  const source = readFileSync(join(sources, 'tests', `${unit}.tcl`), 'utf8')
  const skipped = join(sources, 'skipped.txt')
  const unusable = testsOf(source).filter(({ body }) => usesAny(body, leftOut) !== undefined)
  writeFileSync(skipped, [...others.map(([pattern]) => pattern), ...unusable.map(patternOf)].join('\n'))
  const { out, error } = await runToEnd({
    command: 'tclsh',
    args: [
      ...[
        'tests/test_helper.tcl',
        '--host',
        host,
        '--port',
        port,
        '--singledb',
        '--ignore-encoding',
        '--ignore-digest',
      ],
      // Its own parts meet at a port near this one.
      ...['--baseport', String(20_000 + (Number(port) % 10_000))],
      ...['--clients', '1', '--single', unit, '--skipfile', skipped],
      ...['--tags', '-needs:debug -needs:repl -needs:save -needs:config-maxmemory -cluster:skip -slow'],
    ],
    cwd: sources,
    timeoutMs: 10 * 60_000,
  })
  tell(unit, plain(out), report)
  if (!/All tests passed|tests failed/.test(plain(out))) {
    const reason = plain(`${out}\n${error}`)
      .split('\n')
      .filter(line => /exception|error/i.test(line))
      .slice(0, 3)
      .join(' ')
    report(`program: ${unit} runs to its end`, { kind: 'failed', reason: reason || 'it says nothing' })
  }
}

// oxlint-disable-next-line no-control-regex -- Colours of a terminal.
const plain = (text: string): string => text.replaceAll(/\u001B\[[\d;]*m/g, '')

/** Tests of one name are one case. */
function tell(unit: string, out: string, report: Report): void {
  const failed = new Map<string, string>()
  const passed = new Set<string>()
  const lines = out.split('\n')
  for (const [at, line] of lines.entries()) {
    const ok = /^\[ok\]: (.*?)(?: \(\d+ ms\))?$/.exec(line)?.[1]
    const wrong = /^\[err\]: (.*) in tests\/.*$/.exec(line)?.[1]
    if (ok !== undefined) passed.add(ok)
    if (wrong !== undefined) failed.set(wrong, lines[at + 1] ?? '')
  }
  for (const [name, reason] of failed) report(caseOf(unit, name), { kind: 'failed', reason })
  const count = [...passed].filter(name => !failed.has(name)).length
  if (count > 0) report(`program: ${unit}`, { kind: 'passed', detail: `${count} tests` })
}

const caseOf = (unit: string, name: string): CaseName => `test: ${unit}: ${name}`
