import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory, clone, fill, isThere } from '../fetched.ts'
import { runToEnd } from '../program.ts'
import { fresh, runChecks, type Check, type Client, type Place } from '../suite.ts'
import { versions } from '../versions.ts'
import { likeRabbitmq, missingRedirect, redirected } from './redirect.ts'

const directory = cacheDirectory(join('amqp', `rabbitmq-c-${versions.librabbitmqDebian}`))
const test = join(directory, 'test_basic')

/** The C library by its commands, by a test of its makers, and by their examples. */
export const librabbitmq: Client = {
  name: 'librabbitmq (C, Debian)',
  pinned: versions.librabbitmqDebian,
  from: 'Debian 12; tests and examples from GitHub',
  serve: likeRabbitmq,
  version: () => versions.librabbitmqDebian,
  missing() {
    if (!existsSync('/usr/include/amqp.h') || !isThere('amqp-publish', '--help'))
      return 'not installed (apt install librabbitmq-dev amqp-tools)'
    return missingRedirect() ?? build()
  },
  run: (place, report) => runChecks(checks(place), report),
}

const examples = ['amqp_sendstring', 'amqp_exchange_declare', 'amqp_producer', 'amqp_bind', 'amqp_unbind']

function build(): string | undefined {
  return fill(directory, () => [
    clone('alanxz/rabbitmq-c', `v${versions.librabbitmqDebian}`),
    // The library is Debian's: only the sources' time functions belong to the test.
    {
      command: 'sh',
      args: [
        '-c',
        `cc -w -DHAVE_CLOCK_GETTIME -Ilibrabbitmq -o ${test} tests/test_basic.c librabbitmq/amqp_time.c -lrabbitmq`,
      ],
    },
    ...examples.map(name => {
      const words = `cc -w -Iexamples -o ${name} examples/${name}.c examples/utils.c examples/unix/platform_utils.c -lrabbitmq`
      return { command: 'sh', args: ['-c', words] }
    }),
  ])
}

function checks(place: Place): Check[] {
  const [host = '', port = ''] = place.address.split(':')
  const run = async (command: string, args: string[], input = ''): Promise<string> => {
    const ended = await runToEnd({ command, args, cwd: directory, env: redirected(place) }, input)
    if (ended.code !== 0) throw new Error(`exit ${ended.code}: ${ended.error.trim() || ended.out.trim()}`)
    return ended.out
  }
  const tool = (name: string, ...args: string[]) =>
    run(`amqp-${name}`, ['--url', `amqp://guest:guest@${place.address}`, ...args])
  const equal = (found: string, wanted: string): void => {
    if (found.trim() !== wanted) throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`)
  }
  return [
    {
      capability: 'tool: amqp-declare-queue, amqp-publish, amqp-get, amqp-delete-queue',
      async run() {
        const queue = fresh('q')
        equal(await tool('declare-queue', '-d', '-q', queue), queue)
        await tool('publish', '-p', '-C', 'text/plain', '-r', queue, '-b', 'hello')
        equal(await tool('get', '-q', queue), 'hello')
        await tool('publish', '-r', queue, '-b', 'left')
        equal(await tool('delete-queue', '-q', queue), '1')
      },
    },
    {
      capability: 'tool: amqp-consume',
      async run() {
        const queue = fresh('q')
        await tool('declare-queue', '-d', '-q', queue)
        for (const body of ['one', 'two', 'three']) await tool('publish', '-r', queue, '-b', body)
        equal((await tool('consume', '-q', queue, '-c', '3', 'cat')).replaceAll(/\s/g, ''), 'onetwothree')
      },
    },
    { capability: 'test: test_basic', run: async () => void (await run(test, [])) },
    {
      capability: 'program: examples amqp_exchange_declare, amqp_bind, amqp_sendstring, amqp_unbind, amqp_producer',
      async run() {
        const [queue, exchange] = [fresh('q'), fresh('x')]
        const at = [host, port]
        await tool('declare-queue', '-d', '-q', queue)
        await run(join(directory, 'amqp_exchange_declare'), [...at, exchange, 'direct'])
        await run(join(directory, 'amqp_bind'), [...at, exchange, 'key', queue])
        await run(join(directory, 'amqp_sendstring'), [...at, exchange, 'key', 'sent'])
        equal(await tool('get', '-q', queue), 'sent')
        await run(join(directory, 'amqp_unbind'), [...at, exchange, 'key', queue])
        await run(join(directory, 'amqp_producer'), [...at, '1000', '100'])
      },
    },
  ]
}
