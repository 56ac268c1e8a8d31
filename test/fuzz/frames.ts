/** Frames built by hand, so that the tests of the broker's own reading and writing do not rest on them. */

/** One request with header version 1: size, key, version, correlation id, client id, body. */
export function request(key: number, version: number, correlation: number, body: Buffer): Buffer {
  const client = 'hostile'
  const head = Buffer.alloc(4 + 2 + 2 + 4 + 2 + client.length)
  head.writeInt32BE(head.length - 4 + body.length)
  head.writeInt16BE(key, 4)
  head.writeInt16BE(version, 6)
  head.writeInt32BE(correlation, 8)
  head.writeInt16BE(client.length, 12)
  head.write(client, 14)
  return Buffer.concat([head, body])
}

/** Produce version 7 of one record to partition 0, with acks `acks`. */
export function makeProduce(topic: string, acks: number, valueBytes: number): Buffer {
  const batch = makeBatch(Buffer.alloc(valueBytes, 'v'))
  const name = Buffer.from(topic)
  const body = Buffer.alloc(2 + 2 + 4 + 4 + 2 + name.length + 4 + 4 + 4)
  let at = body.writeInt16BE(-1, 0)
  at = body.writeInt16BE(acks, at)
  at = body.writeInt32BE(30_000, at)
  at = body.writeInt32BE(1, at)
  at = body.writeInt16BE(name.length, at)
  at += name.copy(body, at)
  at = body.writeInt32BE(1, at)
  at = body.writeInt32BE(0, at)
  body.writeInt32BE(batch.length, at)
  return request(0, 7, 1, Buffer.concat([body, batch]))
}

/** A record batch of version 2 with one record without a key. */
export function makeBatch(value: Buffer): Buffer {
  const fields = Buffer.concat([Buffer.from([0, 0, 0, 1]), varint(value.length), value, Buffer.from([0])])
  const record = Buffer.concat([varint(fields.length), fields])
  const head = Buffer.alloc(61)
  head.writeInt32BE(49 + record.length, 8)
  head.writeInt32BE(-1, 12)
  head.writeInt8(2, 16)
  head.writeBigInt64BE(BigInt(Date.now()), 27)
  head.writeBigInt64BE(BigInt(Date.now()), 35)
  head.writeBigInt64BE(-1n, 43)
  head.writeInt16BE(-1, 51)
  head.writeInt32BE(-1, 53)
  head.writeInt32BE(1, 57)
  const batch = Buffer.concat([head, record])
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value * 2
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

const table = Uint32Array.from({ length: 256 }, (_, index) => {
  let crc = index
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255]!
  return ~crc >>> 0
}
