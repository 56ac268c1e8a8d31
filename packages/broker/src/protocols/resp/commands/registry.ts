import type { Args, CommandSpec } from './command.ts'

/** All commands by name, for those who tell of them and are among them. */
class Catalogue {
  #all: readonly CommandSpec[] = []
  readonly #byName = new Map<string, CommandSpec>()

  fill(commands: readonly CommandSpec[]): void {
    this.#all = commands
    for (const command of commands) {
      this.#byName.set(command.name, command)
      this.#byName.set(command.name.toUpperCase(), command)
    }
  }

  all(): readonly CommandSpec[] {
    return this.#all
  }

  /** By its name, in any letters. */
  named(name: string): CommandSpec | undefined {
    return this.#byName.get(name) ?? this.#byName.get(name.toLowerCase())
  }
}

export const catalogue = new Catalogue()

/** Where the keys of a command are in its arguments. */
export function keysOf(spec: CommandSpec, args: Args): readonly number[] {
  if (spec.keysOf) return spec.keysOf(args)
  if (!spec.keys) return none
  const [first, last, step] = spec.keys
  const end = last < 0 ? args.length + last : last
  if (first === end) return ones[first] ?? [first]
  const found: number[] = []
  for (let at = first; at <= end && at < args.length; at += step) found.push(at)
  return found
}

const none: readonly number[] = []
const ones: readonly (readonly number[])[] = [[0], [1], [2], [3]]
