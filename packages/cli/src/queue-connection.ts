import { AmqpDriver, type DriverChannel } from '@dragoman/broker/amqp-client'
import { hostPort, showHostPort, text, type HostPort } from '@dragoman/broker/options'
import { realRuntime } from '@dragoman/broker/runtime'
import { readPassword, tlsOf, type BrokerTarget } from './broker-options.ts'
import { CommandError, optional } from './command.ts'

const amqpDefault: HostPort = { host: '127.0.0.1', port: 5672 }
const section = 'For queues and exchanges'

/** The flags of commands that publish to queues and consume them. */
export const queueOptions = {
  amqp: { ...optional(hostPort, 'The AMQP listener of the broker; 127.0.0.1:5672.', 'DRAGOMAN_AMQP'), section },
  namespace: {
    ...optional(
      text('NAME', 'a name'),
      'Namespace (virtual host) of the queue or the exchange; /.',
      'DRAGOMAN_NAMESPACE',
    ),
    section,
  },
}

export interface QueueTarget extends BrokerTarget {
  readonly amqp?: HostPort | undefined
  readonly namespace?: string | undefined
}

/** Runs something on a channel of a connection of its own. Rejects with `CommandError`. */
export async function withChannel<T>(target: QueueTarget, run: (channel: DriverChannel) => Promise<T>): Promise<T> {
  const address = target.amqp ?? amqpDefault
  const { network } = realRuntime()
  const password = await readPassword(target.password, target.passwordFile, '--password-file')
  const login = {
    ...(target.user === undefined ? {} : { user: target.user }),
    ...(password === undefined ? {} : { password }),
    virtualHost: target.namespace ?? '/',
  }
  let driver: AmqpDriver | undefined
  try {
    const tls = await tlsOf(target)
    driver = await AmqpDriver.open(await network.connect(address, tls), login)
    driver.onBlocked = tellBlocked
    const result = await run(await driver.channel())
    await driver.close()
    return result
  } catch (error) {
    if (error instanceof CommandError) throw error
    const why = error instanceof Error ? error.message : String(error)
    if (driver) throw new CommandError(why)
    throw new CommandError(
      `Cannot reach a broker's AMQP listener at ${showHostPort(address)}: ${why}. --amqp HOST:PORT names another one`,
    )
  } finally {
    driver?.destroy()
  }
}

/** Who publishes waits meanwhile, and should know what for. */
function tellBlocked(reason: string | undefined): void {
  const words =
    reason === undefined
      ? 'The broker takes messages again'
      : `The broker takes no messages for now (${reason}): this waits until it does. What it needs is in its log`
  process.stderr.write(`dragoman: ${words}\n`)
}
