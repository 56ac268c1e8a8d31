import type { ScramMechanism } from '../../core/identity/scram.ts'

/** Kafka's numbers for the ways to log in with a password. */
export const mechanismNumbers = { 'SCRAM-SHA-256': 1, 'SCRAM-SHA-512': 2 } as const satisfies Record<
  ScramMechanism,
  number
>

export const mechanismOf = (number: number): ScramMechanism | undefined =>
  (Object.keys(mechanismNumbers) as ScramMechanism[]).find(name => mechanismNumbers[name] === number)
