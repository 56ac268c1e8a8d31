import { join } from 'node:path'
import { cacheDirectory, fill } from '../fetched.ts'
import type { Place } from '../suite.ts'

const source = join(import.meta.dirname, 'redirect.c')
const directory = cacheDirectory('redirect')
const library = join(directory, 'redirect.so')

/** Builds what turns connections to port 5672 of this host to the broker; why it cannot, or undefined. */
export function missingRedirect(): string | undefined {
  return fill(directory, () => [{ command: 'cc', args: ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl'] }])
}

/** The environment of a program whose connections are turned. */
export function redirected({ address }: Place): Record<string, string> {
  return { LD_PRELOAD: library, REDIRECT_PORT: portOf(address) }
}

export function portOf(address: string): string {
  return address.slice(address.lastIndexOf(':') + 1)
}

/** As RabbitMQ has it: one user, who may do everything. */
export const likeRabbitmq = ['--users', 'guest:guest', '--super-users', 'guest']
