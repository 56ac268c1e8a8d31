// For `node --test --test-reporter`: one line of JSON for each test that is no suite, as `program.ts` reads them.

// Node takes a reporter as the default export only.
// oxlint-disable-next-line import/no-default-export
export default async function* report(source) {
  const names = []
  for await (const { type, data } of source) {
    if (type === 'test:start') {
      names.length = data.nesting
      names[data.nesting] = data.name
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue
    if (data.details.type === 'suite') continue
    // A file is a test, too: of interest only when it ends badly.
    if (type === 'test:pass' && /\.[jt]s$/.test(data.name)) continue
    const path = [...names.slice(0, data.nesting), data.name].join(', ').replaceAll(/\s+/g, ' ')
    yield `${JSON.stringify({ capability: `test: ${path}`, outcome: outcomeOf(type, data) })}\n`
  }
}

function outcomeOf(type, { skip, todo, details }) {
  if (skip !== undefined || todo !== undefined) return { kind: 'skipped', reason: String(skip ?? todo) || 'left out' }
  if (type === 'test:pass') return { kind: 'passed' }
  const error = details.error?.cause ?? details.error
  return {
    kind: 'failed',
    reason: String(error?.message ?? error)
      .replaceAll(/\s+/g, ' ')
      .slice(0, 300),
  }
}
