import { fork } from 'node:child_process'

/** What one process has done so far. */
export type Totals = Record<string, number>

/** Runs the command in several processes, each with seeds of its own. `told` is called with the sums. Resolves with the highest exit code. */
export async function runJobs(count: number, args: readonly string[], told: (sums: Totals) => void): Promise<number> {
  const newest: Totals[] = []
  const children = Array.from({ length: count }, (_, index) => {
    const own = [...args, '--jobs', '1', '--seed', String((Date.now() + index * 50_000_017) % 2 ** 31)]
    // Violations are told by standard error.
    const child = fork(process.argv[1] ?? '', own, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    child.on('message', totals => {
      newest[index] = totals as Totals
      told(sumOf(newest))
    })
    return child
  })
  const codes = children.map(
    child =>
      new Promise<number>(resolve => {
        child.once('exit', code => {
          // One that has found something is enough.
          if (code !== 0) for (const each of children) each.kill()
          resolve(code ?? 0)
        })
      }),
  )
  return Math.max(...(await Promise.all(codes)))
}

function sumOf(all: readonly (Totals | undefined)[]): Totals {
  const sums: Totals = {}
  for (const totals of all)
    for (const [name, value] of Object.entries(totals ?? {})) sums[name] = (sums[name] ?? 0) + value
  return sums
}
