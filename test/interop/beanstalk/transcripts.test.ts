import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createServer, type AddressInfo } from 'node:net'
import test from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { startBroker } from '../../../packages/broker/src/main.ts'
import { replay } from './replay.ts'
import { transcripts } from './transcripts.ts'

const isThere = spawnSync('beanstalkd', ['-v']).status === 0
const skip = isThere ? false : 'beanstalkd is not on this machine'

/** A server of theirs on a free port, as long as `use` takes. */
async function withBeanstalkd<T>(use: (port: number) => Promise<T>): Promise<T> {
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => probe.once('listening', resolve))
  const { port } = probe.address() as AddressInfo
  await new Promise(resolve => probe.close(resolve))
  const server = spawn('beanstalkd', ['-l', '127.0.0.1', '-p', String(port), '-V'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  try {
    await new Promise(resolve => server.stdout.once('data', resolve))
    return await use(port)
  } finally {
    server.kill()
  }
}

test('beanstalkd and we answer the same', { skip, concurrency: true }, async t => {
  const cases = Object.entries(transcripts).map(([name, steps]) =>
    t.test(name, async () => {
      const broker = await startBroker({ data: 'memory', beanstalk: 0 })
      const askThem = (): Promise<string[]> => withBeanstalkd(port => replay(port, steps))
      const [first, ours] = await Promise.all([askThem(), replay(broker.port('beanstalk'), steps)])
      await broker.close()
      let theirs = first
      // On a busy machine theirs does not always notice that a job's time is over.
      for (let again = 0; again < 2 && !isDeepStrictEqual(ours, theirs); again++) theirs = await askThem()
      assert.deepEqual(ours, theirs)
    }),
  )
  await Promise.all(cases)
})
