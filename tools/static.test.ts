import assert from 'node:assert/strict'
import test from 'node:test'
import { runCheck, staticChecks } from './static.ts'

// `npm run check` has already run them when it comes here.
const skip = process.env.STATIC_CHECKS === 'done'

for (const check of staticChecks) {
  test(`${check.name} finds nothing to complain about`, { skip }, async () => {
    const { ok, output } = await runCheck(check)
    const repair = 'hint' in check ? `\nRepair with: ${check.hint}` : ''
    assert.ok(ok, `${check.program} ${check.args.join(' ')}\n${output}${repair}`)
  })
}
