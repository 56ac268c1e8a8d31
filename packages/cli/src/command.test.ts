import assert from 'node:assert/strict'
import test from 'node:test'
import { choice, count, text, toggle } from '@dragoman/broker/options'
import { commandHelp, defineCommand, option, optional, parseCall, repeated, required, UsageError } from './command.ts'
import { commands, loadAll } from './commands/index.ts'

const sample = defineCommand({
  name: 'sample run',
  summary: 'Run a sample.',
  words: [
    { name: 'FIRST', help: 'The first.' },
    { name: 'REST', help: 'The rest.', optional: true, many: true },
  ],
  options: {
    colour: option(choice('red', 'blue'), 'red', 'A colour.', 'SAMPLE_COLOUR'),
    sizeMax: optional(count(1, 9), 'A size.'),
    tag: repeated(text('TAG', 'a text'), 'Tags.'),
    dryRun: option(toggle, false, 'Do nothing.'),
  },
  examples: [['dragoman sample run a', 'Runs it.']],
  run: async () => undefined,
})

test('parseCall sorts flags and words, in any order', () => {
  const call = parseCall(sample, ['a', '--tag', 'x', 'b', '--tag=y=z', '--dry-run', '-', '--', '--size-max'], {})
  assert.deepEqual(call.words, ['a', 'b', '-', '--size-max'])
  assert.deepEqual(call.options, { colour: 'red', sizeMax: undefined, tag: ['x', 'y=z'], dryRun: true })
})

test('a flag wins over the environment, the environment over the default', () => {
  const environment = { SAMPLE_COLOUR: 'blue' }
  assert.equal(parseCall(sample, ['a'], environment).options.colour, 'blue')
  assert.equal(parseCall(sample, ['a', '--colour', 'red'], environment).options.colour, 'red')
})

const refused: [string, string[], RegExp][] = [
  ['a missing word', [], /FIRST is missing; see dragoman help sample run/],
  ['an unknown flag', ['a', '--color', 'red'], /has no option --color; did you mean --colour\?/],
  ['a bad value', ['a', '--colour', 'green'], /Cannot take "green" for --colour: it takes red or blue/],
  ['a flag without its value', ['a', '--size-max'], /--size-max needs a value: it takes a whole number from 1 to 9/],
  ['a flag given twice', ['a', '--size-max', '1', '--size-max', '2'], /--size-max is given twice/],
  ['a switch with a bad value', ['a', '--dry-run=maybe'], /it takes true or false/],
]
for (const [what, args, message] of refused) {
  test(`${what} is an error that names it`, () => {
    assert.throws(
      () => parseCall(sample, args, {}),
      error => error instanceof UsageError && message.test(error.message),
    )
  })
}

test('too many words and a missing option are errors', () => {
  const options = { to: required(text('X', 'an x'), 'Where.') }
  const strict = defineCommand({ name: 's', summary: '', words: [], options, examples: [], run: async () => undefined })
  assert.throws(() => parseCall(strict, ['--to', 'x', 'extra'], {}), /Unexpected "extra"/)
  assert.throws(() => parseCall(strict, [], {}), /--to is needed: it takes an x/)
})

test('commandHelp names words, options, defaults, environment and examples', () => {
  const help = commandHelp(sample)
  for (const part of [
    'Usage: dragoman sample run FIRST [REST...] [OPTION...]',
    '--colour red|blue  (red)',
    'SAMPLE_COLOUR',
    '--dry-run\n',
    'May be given several times',
    'dragoman sample run a',
  ]) {
    assert.ok(help.includes(part), part)
  }
})

test('every command is listed under its own name, with a summary and an example that parses', async () => {
  const all = await loadAll()
  assert.deepEqual(
    all.map(({ name }) => name),
    Object.keys(commands),
  )
  for (const command of all) {
    assert.match(command.summary, /^[A-Z].*\.$/, command.name)
    assert.ok(command.examples.length > 0, command.name)
    for (const [line] of command.examples) assert.ok(line.includes(`dragoman ${command.name}`), line)
  }
})
