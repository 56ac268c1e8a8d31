import { AmqpException } from '../errors.ts'
import {
  basicAck,
  basicCancel,
  basicCancelOk,
  basicConsume,
  basicGet,
  basicNack,
  basicPublish,
  basicQos,
  basicQosOk,
  basicRecover,
  basicRecoverAsync,
  basicRecoverOk,
  basicReject,
} from '../messages/basic.ts'
import { on, type Entry } from './handler.ts'

export const basicHandlers: readonly Entry[] = [
  on(basicQos, (channel, { prefetchSize, prefetchCount, flags: { global } }) => {
    if (prefetchSize !== 0) throw new AmqpException('notImplemented', `prefetch_size!=0 (${prefetchSize})`)
    channel.basic.consuming.qos(prefetchCount, global)
    channel.send(basicQosOk, {})
  }),
  on(basicConsume, (channel, fields) => channel.basic.consuming.consume(fields)),
  on(basicCancel, (channel, { consumerTag, flags }) => channel.basic.consuming.cancel(consumerTag, flags.noWait)),
  // The answer to a cancel of ours.
  on(basicCancelOk, () => {}),
  on(basicPublish, (channel, { exchange, routingKey, flags }) => {
    channel.basic.publishing.begin(exchange, routingKey, flags)
  }),
  on(basicGet, (channel, { queue, flags }) => channel.basic.consuming.get(queue, flags.noAck)),
  on(basicAck, (channel, { deliveryTag, flags }) => channel.basic.consuming.settle(deliveryTag, flags.multiple, 'ack')),
  on(basicNack, (channel, { deliveryTag, flags: { multiple, requeue } }) =>
    channel.basic.consuming.settle(deliveryTag, multiple, requeue ? 'requeue' : 'drop'),
  ),
  on(basicReject, (channel, { deliveryTag, flags: { requeue } }) =>
    channel.basic.consuming.settle(deliveryTag, false, requeue ? 'requeue' : 'drop'),
  ),
  on(basicRecoverAsync, (channel, { flags: { requeue } }) => {
    checkRequeue(requeue)
    return channel.basic.consuming.recover()
  }),
  on(basicRecover, async (channel, { flags: { requeue } }) => {
    checkRequeue(requeue)
    await channel.basic.consuming.recover()
    channel.send(basicRecoverOk, {})
  }),
]

/** Messages cannot be given once more to the same consumer. */
function checkRequeue(requeue: boolean): void {
  if (!requeue) throw new AmqpException('notImplemented', 'requeue=false')
}
