/** A request with it ends its session, or has none. */
export const finalEpoch = -1
/** A request with it opens a session. */
export const initialEpoch = 0
const epochMax = 0x7fff_ffff

/** The epoch of the request that comes after one of `epoch`. */
export const epochAfter = (epoch: number): number => (epoch === epochMax ? initialEpoch + 1 : epoch + 1)
