import { CommandError } from '../errors.ts'
import type { Args, Client, CommandSpec } from './command.ts'
import { keysOf } from './registry.ts'

/** Commands that change something of what they have found. */
const looksFirst = new Set(['getex', 'getdel', 'xack', 'xclaim', 'xautoclaim', 'xreadgroup'])
/** Subcommands of `OBJECT`. */
const looksSilently = new Set(['encoding', 'refcount', 'idletime'])

/** Carries the command out, and tells of keys that it has looked for in vain. */
export function runTellingMisses(client: Client, spec: CommandSpec, args: Args): void {
  const missed = missedBy(client, spec, args)
  const tell = (): void => {
    for (const key of missed) client.keys.missed(key)
  }
  try {
    spec.run!(client, args)
  } catch (error) {
    // What was wrong before anything was looked for misses nothing.
    if (error instanceof CommandError && /^NOGROUP|^ERR no such key/.test(error.message)) tell()
    throw error
  }
  tell()
}

function missedBy({ keys }: Client, spec: CommandSpec, args: Args): string[] {
  const found: string[] = []
  for (const at of lookedFor(spec, args)) {
    const key = args[at]?.toString('latin1')
    if (key !== undefined && !keys.typeOf(key)) found.push(key)
  }
  return found
}

function lookedFor(spec: CommandSpec, args: Args): readonly number[] {
  const { name, flags } = spec
  if (looksSilently.has(name)) return []
  if (flags.includes('readonly') || looksFirst.has(name)) return keysOf(spec, args)
  return name === 'copy' ? [1] : []
}
