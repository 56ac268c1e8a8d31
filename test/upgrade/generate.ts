import * as fs from 'node:fs'
import * as os from 'node:os'
import * as path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { dataFormat } from '../../packages/broker/src/data-directory.ts'
import { FixtureClock, longMs, openFixture, pack } from './fixture.ts'
import { Story } from './story.ts'

/**
 * Makes `format-N.json.gz` for today's N: a data directory with everything that a broker can have written in it, twice: once as a checkpoint and
 * segments hold it, and once as the journal and a segment that is not finished do. Run it once per format, when the format is new:
 * `node test/upgrade/generate.ts`. A later release must read what this one wrote, so its output is kept for ever.
 */
const data = fs.mkdtempSync(path.join(os.tmpdir(), 'dragoman-fixture-'))
const clock = new FixtureClock()

const first = await openFixture(data, clock, 1)
await new Story(first.core, clock, 'a').tell()
await first.close()

const second = await openFixture(data, clock, 2)
// Now what is idle of the first life is forgotten.
await clock.advance(longMs)
// The flush that this has begun ends, so that the directory holds no half of it.
await sleep(1000)
await new Story(second.core, clock, 'b').tell()
// As a kill would leave it.
pack(data, `format-${dataFormat}`, name => name !== 'lock' && !path.basename(name).startsWith('spare-'))
await second.close()
fs.rmSync(data, { recursive: true })
