import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { isThere } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import { runChecks, type Client } from '../suite.ts'
import { versions } from '../versions.ts'

const version = (): string =>
  /\d+\.\d+\.\d+/.exec(spawnSync('redis-cli', ['--version'], { encoding: 'utf8' }).stdout ?? '')?.[0] ?? ''

/** The commands that Redis brings for people. */
export const redisCli: Client = {
  name: 'redis-cli, redis-benchmark',
  pinned: versions.redisDebian,
  from: 'Debian',
  version,
  missing: () => (isThere('redis-cli', '--version') ? undefined : 'no redis-cli (apt install redis-tools)'),
  async run({ address }, report) {
    const [host = '', port = ''] = address.split(':')
    const at = ['-h', host, '-p', port]
    const cli = async (args: string[], input = ''): Promise<string> => {
      const { code, out, error } = await runToEnd({ command: 'redis-cli', args: [...at, ...args] }, input)
      assert.equal(code, 0, error)
      return out.trim()
    }
    await runChecks(
      [
        {
          capability: 'tool: redis-cli',
          async run() {
            assert.equal(await cli([], 'rpush l a b\nlrange l 0 -1\nget none\n'), '2\na\nb')
            assert.equal(await cli(['-3', 'config', 'get', 'databases']), 'databases 1')
            assert.match(await cli(['--scan']), /^l$/m)
          },
        },
        {
          capability: 'tool: redis-cli --pipe',
          async run() {
            const commands = Array.from({ length: 1000 }, (_, index) => `RPUSH many ${index}\r\n`).join('')
            assert.match(await cli(['--pipe'], commands), /errors: 0, replies: 1000/)
            assert.equal(await cli(['llen', 'many']), '1000')
          },
        },
        {
          capability: 'tool: redis-benchmark',
          async run() {
            const args = [
              ...at,
              '-q',
              '-n',
              '2000',
              '-c',
              '10',
              '-P',
              '10',
              '-t',
              'ping,set,get,incr,lpush,rpush,lpop,rpop',
            ]
            const { code, out, error } = await runToEnd({ command: 'redis-benchmark', args })
            assert.equal(code, 0, error)
            assert.equal(out.match(/requests per second/g)?.length, 9)
          },
        },
      ],
      report,
    )
  },
}
