/** What has become of messages since the broker started. Rates are a matter for who asks twice. */
export class DeliveryCounts {
  /** Given to consumers unasked, to be acknowledged. */
  delivered = 0
  /** Given to consumers unasked, and acknowledged with it. */
  deliveredSettled = 0
  /** Given to who asked for one, to be acknowledged. */
  pulled = 0
  /** Given to who asked for one, and acknowledged with it. */
  pulledSettled = 0
  /** There was none for who asked. */
  pulledNothing = 0
  /** Of all that were given out: those that had been given out before. */
  redelivered = 0
  /** By consumers, of those that were to be acknowledged. */
  acked = 0
  /** Given back by consumers, or because they went or took too long. */
  returned = 0

  given(isPulled: boolean, isSettled: boolean, deliveryCount: number): void {
    if (deliveryCount > 1) this.redelivered++
    if (isPulled && isSettled) this.pulledSettled++
    else if (isPulled) this.pulled++
    else if (isSettled) this.deliveredSettled++
    else this.delivered++
  }
}
