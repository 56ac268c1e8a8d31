import { realRuntime } from '../../../packages/broker/src/runtime/real/real-runtime.ts'
import { BeanstalkDriver, type Answer } from '../../../packages/broker/src/protocols/beanstalk/driver.ts'
import type { Step } from './transcripts.ts'

const { network } = realRuntime()

/** Says it all to a server; resolves with what was answered, with ids and times masked. */
export async function replay(port: number, steps: readonly Step[]): Promise<string[]> {
  const connections = new Map<number, BeanstalkDriver>()
  const kept = new Map<string, string>()
  const told: Promise<string>[] = []
  for (const step of steps) {
    const { connection, body, keep, later, waitMs } = step
    let driver = connections.get(connection)
    if (!driver) {
      driver = await BeanstalkDriver.connect(network, { host: '127.0.0.1', port })
      connections.set(connection, driver)
    }
    const line = step.send.replaceAll(/\$(\w+)/g, (_, name: string) => kept.get(name) ?? '0')
    const answer = driver.ask(line, body)
    const shown = answer.then(
      found => `${step.send.slice(0, 60)} -> ${masked(found, kept)}`,
      () => `${step.send} -> closed`,
    )
    told.push(shown)
    if (!later) {
      const found = await answer
      const [, id] = /^\w+ (\d+)/.exec(found.line) ?? []
      if (keep !== undefined && id !== undefined) kept.set(keep, id)
      await shown
    }
    if (waitMs !== undefined) await new Promise(resolve => setTimeout(resolve, waitMs))
  }
  const all = await Promise.all(told)
  for (const driver of connections.values()) driver.close()
  return all
}

/** Ids become the names under which they were kept; what depends on the moment, a word. */
function masked({ line, body }: Answer, kept: ReadonlyMap<string, string>): string {
  const names = new Map(Array.from(kept, ([name, id]) => [id, `$${name}`]))
  const head = line.replace(/^(INSERTED|RESERVED|FOUND|BURIED) (\d+)/, (_, word: string, id: string) => {
    return `${word} ${names.get(id) ?? 'ID'}`
  })
  const text = body?.toString('latin1') ?? ''
  if (!line.startsWith('OK')) return `${head} ${text}`
  // Names have quotes since 1.13.
  return `OK ${text.replaceAll(/^(id|age|time-left|pause-time-left|file): .*$/gm, '$1: *').replaceAll('"', '')}`
}
