import type { Running } from '../peers/peer.ts'
import { runTool, type Report } from './tools.ts'

export type QueueType = 'classic' | 'quorum'

type Words = readonly (string | number)[]

export function amqp(
  mode: 'publish' | 'consume' | 'flow' | 'purge',
  running: Running,
  ...words: Words
): Promise<Report> {
  return runTool('amqp-raw', mode, '--port', running.port, ...words)
}

/** What runs before that counts: both brokers compile what they run often. */
export async function warmUp(running: Running, ...words: Words): Promise<void> {
  await amqp('flow', running, '--seconds', 3, ...words)
  await amqp('purge', running, ...words)
}
