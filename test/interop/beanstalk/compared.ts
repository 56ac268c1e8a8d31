import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { beanstalkd } from '../../../bench/peers/beanstalkd.ts'
import type { Peer } from '../../../bench/peers/peer.ts'
import { startDragoman } from '../../support/dragoman.ts'
import type { Client, Outcome } from '../suite.ts'
import { versions } from '../versions.ts'
import { replay } from './replay.ts'
import { transcripts, type Step } from './transcripts.ts'

/** The same words to beanstalkd and to us, each with a server of its own for each transcript: the answers are the same. */
export const compared: Client = {
  name: 'transcripts, compared with beanstalkd',
  pinned: versions.beanstalkd,
  from: 'Debian 12',
  version: () => versions.beanstalkd,
  missing: () => beanstalkd.missing(),
  async run({ only }, report) {
    for (const [name, steps] of Object.entries(transcripts)) {
      if (!name.includes(only ?? '')) continue
      const first = await compare(steps)
      // They count on time: what differs has a second chance.
      report(`test: ${name}`, first.kind === 'passed' ? first : await compare(steps))
    }
  },
}

const ours: Pick<Peer, 'start'> = { start: () => startDragoman({ data: 'memory', protocol: 'beanstalk' }) }

async function compare(steps: readonly Step[]): Promise<Outcome> {
  const [found, wanted] = await Promise.all([said(ours, steps), said(beanstalkd, steps)])
  if (isDeepStrictEqual(found, wanted)) return { kind: 'passed' }
  const at = wanted.findIndex((line, index) => line !== found[index])
  return { kind: 'failed', reason: `ours: ${found[at]}; theirs: ${wanted[at]}` }
}

async function said(peer: Pick<Peer, 'start'>, steps: readonly Step[]): Promise<string[]> {
  const directory = mkdtempSync(join(tmpdir(), 'dragoman-compared-'))
  const { process, port } = await peer.start({ directory, durability: 'memory' })
  try {
    return await replay(port, steps)
  } finally {
    await process.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}
