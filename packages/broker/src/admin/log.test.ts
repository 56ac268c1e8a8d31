import assert from 'node:assert/strict'
import test from 'node:test'
import { createLog } from './log.ts'

function capture(level: 'debug' | 'warn' | 'off'): { lines: string[]; log: ReturnType<ReturnType<typeof createLog>> } {
  const lines: string[] = []
  return { lines, log: createLog({ level, nowMs: () => 0, write: line => lines.push(line) })('transport') }
}

test('a line has time, level, component, message and fields', () => {
  const { lines, log } = capture('debug')
  log('info', 'Connection closed', { remote: { host: '::1', port: 5 }, count: 3, reason: 'It broke', none: undefined })
  assert.deepEqual(lines, [
    '1970-01-01T00:00:00.000Z info  transport Connection closed remote=[::1]:5 count=3 reason="It broke"\n',
  ])
})

test('what a peer has sent cannot begin a line of its own or reach the terminal', () => {
  const { lines, log } = capture('debug')
  log('warn', 'Odd', { name: 'a\nb\u001b[31m', quote: '"', empty: '', error: new Error('x y') })
  assert.equal(lines[0]?.indexOf('\n'), (lines[0]?.length ?? 0) - 1)
  assert.match(lines[0] ?? '', /name="a\\nb\\u001b\[31m" quote="\\"" empty="" error="x y"/)
})

test('lines below the level are not written', () => {
  const { lines, log } = capture('warn')
  log('info', 'no')
  log('error', 'yes')
  assert.equal(lines.length, 1)
  const silent = capture('off')
  silent.log('error', 'no')
  assert.equal(silent.lines.length, 0)
})
