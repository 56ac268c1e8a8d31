import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheDirectory, fill, isThere } from '../fetched.ts'
import { runProgram, runToEnd } from '../program.ts'
import type { Client, Outcome, Place } from '../suite.ts'
import { versions } from '../versions.ts'

/** A module of our own, whose `go.mod` and `go.sum` pin what is fetched. */
const moduleDirectory = join(import.meta.dirname, 'go')
const binaries = cacheDirectory(join('go', `franz-go-${versions.franzGo}`))
const second = 1000
const minute = 60 * second

export const franzGoClient: Client = {
  name: 'franz-go, its own tests',
  pinned: versions.franzGo,
  from: 'Go module proxy',
  version: () => versions.franzGo,
  missing,
  async run(place, report) {
    const names = testsWithBroker().filter(name => name.includes(place.only ?? ''))
    const results = await runTests(place, names, 20 * minute)
    for (const name of names) {
      const first = results.get(name) ?? { kind: 'failed', reason: 'it did not end' }
      // They run beside each other and count on time: what fails has a second chance alone.
      const outcome = first.kind === 'failed' ? ((await runTests(place, [name], 5 * minute)).get(name) ?? first) : first
      report(`test: ${name}`, outcome)
    }
  },
}

export const kadmClient: Client = {
  name: 'franz-go kadm',
  pinned: versions.kadm,
  from: 'Go module proxy',
  version: () => versions.kadm,
  missing,
  run: ({ address }, report) =>
    runProgram({ command: 'go', args: ['run', '.', address], cwd: moduleDirectory }, report),
}

function missing(): string | undefined {
  if (!isThere('go', 'version')) return 'no Go on this machine'
  return fill(binaries, directory => {
    const build = ['test', '-c', '-o', join(directory, 'kgo.test'), 'github.com/twmb/franz-go/pkg/kgo']
    return [{ command: 'go', args: build, cwd: moduleDirectory }]
  })
}

/** The tests that use a broker, as their sources show; the others try the client against itself. */
function testsWithBroker(): string[] {
  const list = ['list', '-f', '{{.Dir}}', 'github.com/twmb/franz-go/pkg/kgo']
  const sources = spawnSync('go', list, { cwd: moduleDirectory, encoding: 'utf8' }).stdout.trim()
  return readdirSync(sources)
    .filter(file => file.endsWith('_test.go'))
    .flatMap(file => {
      const text = readFileSync(join(sources, file), 'utf8')
      return text.split(/^(?=func )/m).flatMap(body => {
        const name = /^func (Test\w+)\(/.exec(body)?.[1]
        return name !== undefined && /newTestClient|tmpTopic|adm\(\)|getSeedBrokers|testClientOpts/.test(body)
          ? [name]
          : []
      })
    })
    .toSorted()
}

async function runTests(place: Place, names: string[], timeoutMs: number): Promise<Map<string, Outcome>> {
  const ended = await runToEnd({
    command: join(binaries, 'kgo.test'),
    args: ['-test.v', `-test.run=^(${names.join('|')})$`, `-test.timeout=${timeoutMs / second}s`],
    cwd: binaries,
    env: {
      KGO_SEEDS: place.address,
      KGO_TEST_RF: '1',
      // Of the half a million that its makers take on larger machines.
      KGO_TEST_RECORDS: '50000',
      KGO_LOG_LEVEL: 'none',
    },
    timeoutMs: timeoutMs + 30 * second,
  })
  const results = new Map<string, Outcome>()
  for (const [, word, name = ''] of ended.out.matchAll(/^--- (PASS|FAIL|SKIP): (Test\w+) /gm)) {
    results.set(name, outcomeOf(ended.out, word, name))
  }
  return results
}

function outcomeOf(text: string, word: string | undefined, name: string): Outcome {
  if (word === 'PASS') return { kind: 'passed' }
  // What a test logs follows a line that names it.
  const blocks = text.matchAll(
    new RegExp(`^(?:=== (?:RUN|CONT|NAME) +|--- (?:FAIL|SKIP): )${name}\\b.*\\n((?: {4}.*\\n)+)`, 'gm'),
  )
  const said = [...blocks].map(([, lines = '']) => lines.replaceAll(/\s+/g, ' ').trim()).join(' ')
  const reason = said === '' ? `see \`go test -run ${name}\`` : said.slice(0, 300)
  return { kind: word === 'SKIP' ? 'skipped' : 'failed', reason }
}
