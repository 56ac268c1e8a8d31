import { Writer } from './writer.ts'
import type { Random } from './random.ts'
import type { Codec } from './schema.ts'

/** Values that sizes and counts are blown up to: edges of signed and unsigned fields. */
const hostileWords = [0x7fff_ffff, -0x8000_0000, -1, -2, 0x00ff_ffff, 0x8000, 0xffff, 0]

/** An encoded sample with up to a few faults in it, now and then none: what hostile or broken peers send. */
export function fuzzBytes(random: Random, codec: Codec<any, any>, version?: number): Buffer {
  const writer = new Writer()
  codec.write(writer, codec.sample(random, version), version)
  return mutate(random, writer.take())
}

/** A copy with up to a few faults: flipped bits, hostile sizes, bytes lost, added, repeated or cut off. */
export function mutate(random: Random, bytes: Buffer): Buffer {
  let mutated: Buffer = Buffer.from(bytes)
  for (let count = random.below(4); count > 0; count--) mutated = mutateOnce(random, mutated)
  return mutated
}

function mutateOnce(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1)
  const after = Math.min(bytes.length, at + random.below(9))
  switch (random.below(7)) {
    case 0:
      if (at < bytes.length) bytes[at]! ^= 1 << random.below(8)
      return bytes
    case 1:
      if (at < bytes.length) bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff])
      return bytes
    case 2:
      if (at + 4 <= bytes.length) bytes.writeInt32BE(random.pick(hostileWords), at)
      return bytes
    case 3:
      return bytes.subarray(0, at)
    case 4:
      return Buffer.concat([bytes.subarray(0, at), random.bytes(random.below(9)), bytes.subarray(at)])
    case 5:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(after)])
    default:
      return Buffer.concat([bytes.subarray(0, after), bytes.subarray(at)])
  }
}
