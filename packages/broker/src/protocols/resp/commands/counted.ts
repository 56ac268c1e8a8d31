import type { Args } from './command.ts'

/** Where keys are whose number is told before them at `countAt`. */
export function countedKeys(args: Args, countAt: number): number[] {
  const count = Number(args[countAt]?.toString('latin1', 0, 20) ?? 0)
  const found: number[] = []
  if (!Number.isInteger(count) || count > args.length) return found
  for (let at = countAt + 1; at <= countAt + count && at < args.length; at++) found.push(at)
  return found
}
