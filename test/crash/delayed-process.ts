import { writeSync } from 'node:fs'
import { startBroker } from '../../packages/broker/src/index.ts'

/**
 * A broker that hands itself messages for later until it is killed: `+TEXT` is printed when one is confirmed, `-TEXT` when it was cancelled.
 *
 *   delayed-process.ts DIRECTORY LABEL
 */
const [directory = '', label = ''] = process.argv.slice(2)
const namespace = '/'
const { core } = await startBroker({ data: directory })
const { delayed, schedules, queues, router } = core

for (const name of ['q', 'r', 'ticks']) await queues.declare(namespace, name)
await router.declare(namespace, 'both', { kind: 'fanout' })
for (const destination of ['q', 'r']) {
  await router.bind(namespace, { source: 'both', kind: 'queue', destination, key: '' })
}
const tick = { namespace, exchange: '', key: 'ticks', message: { value: Buffer.from('tick') } }
await schedules.set({ ...tick, name: 's', expression: '* * * * * *', timeZone: 'UTC', missed: 'skip', isEnabled: true })

async function cancel(id: string, text: string): Promise<void> {
  if (await delayed.cancel(id)) writeSync(1, `-${text}\n`)
}

let number = 0
setInterval(() => {
  for (let left = 20; left > 0; left--) {
    const text = `${label}-${number++}`
    const later = { namespace, exchange: 'both', key: '', message: { value: Buffer.from(text) } }
    delayed.publish(later, 1 + Math.random() * 1500, ({ id, error }) => {
      if (error !== undefined) throw new Error(error)
      writeSync(1, `+${text}\n`)
      if (text.endsWith('7')) cancel(id, text).catch(() => {})
    })
  }
}, 5)
