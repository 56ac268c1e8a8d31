/** What has become of messages since the broker started. Rates are a matter for who asks twice. */
export interface DeliveryStatistics {
  /** Given to consumers unasked, to be acknowledged. */
  readonly delivered: number
  /** Given to consumers unasked, and acknowledged with it. */
  readonly deliveredSettled: number
  /** Given to who asked for one, to be acknowledged. */
  readonly pulled: number
  /** Given to who asked for one, and acknowledged with it. */
  readonly pulledSettled: number
  /** There was none for who asked. */
  readonly pulledNothing: number
  /** Of all that were given out: those that had been given out before. */
  readonly redelivered: number
  /** By consumers, of those that were to be acknowledged. */
  readonly acked: number
  /** Given back by consumers, or because they went or took too long. */
  readonly returned: number
}

/** Counts what its dispatcher does. */
export class DeliveryCounts {
  readonly all: { -readonly [K in keyof DeliveryStatistics]: number } = {
    delivered: 0,
    deliveredSettled: 0,
    pulled: 0,
    pulledSettled: 0,
    pulledNothing: 0,
    redelivered: 0,
    acked: 0,
    returned: 0,
  }

  given(isPulled: boolean, isSettled: boolean, deliveryCount: number): void {
    const { all } = this
    if (deliveryCount > 1) all.redelivered++
    if (isPulled && isSettled) all.pulledSettled++
    else if (isPulled) all.pulled++
    else if (isSettled) all.deliveredSettled++
    else all.delivered++
  }
}
