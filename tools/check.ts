// `npm run check`: format, types, lint, tidy, generated docs, dead code, then all tests. Says all that is wrong, not only the first.
import { spawnSync } from 'node:child_process'
import { root, runCheck, staticChecks } from './static.ts'

let failed = false
for (const check of staticChecks) {
  const { ok, output, seconds } = await runCheck(check)
  console.log(`${ok ? 'ok    ' : 'FAILED'} ${check.name.padEnd(10)} ${seconds.toFixed(1)} s`)
  if (ok) continue
  failed = true
  console.log(output.trimEnd())
  if ('hint' in check) console.log(`Repair with: ${check.hint}`)
}
const environment = { ...process.env, STATIC_CHECKS: 'done' }
const tests = spawnSync('npm', ['test', '--silent'], {
  cwd: root,
  env: environment,
  stdio: 'inherit',
})
process.exitCode = failed || tests.status !== 0 ? 1 : 0
