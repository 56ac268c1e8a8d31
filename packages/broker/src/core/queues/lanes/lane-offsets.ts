/**
 * A message of a queue with lanes is named by one number: its lane, counted from the most urgent, and its offset there. So numbers ascend in the
 * order in which messages are given out, and neighbours in a lane are neighbours. 256 lanes of 2^45 messages fill what a double counts exactly.
 */
export const laneOffsets = 2 ** 45

export const laneIndexOf = (place: number): number => Math.floor(place / laneOffsets)
