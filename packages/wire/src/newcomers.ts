/** Who has copies that may go soon, or stay. */
export interface Keeper {
  /** Gives the copy of that number memory of its own, if it is still there. */
  own(number: number): void
}

/** So many copies may keep more memory than they are large: 64 KiB each. */
export const newcomersMax = 256

const keepers: (Keeper | undefined)[] = Array.from({ length: newcomersMax }, () => undefined)
const numbers: number[] = Array.from({ length: newcomersMax }, () => 0)
let next = 0

/**
 * Tells of a small copy out of Node's pool, which is quickly made but keeps 64 KiB for as long as it is there. Most go again at once; those that are
 * still there after a number of others have come are given memory of their own. What surely stays is better made with `keptCopy`.
 */
export function addNewcomer(keeper: Keeper, number: number): void {
  const at = next
  next = (at + 1) % newcomersMax
  keepers[at]?.own(numbers[at]!)
  keepers[at] = keeper
  numbers[at] = number
}
