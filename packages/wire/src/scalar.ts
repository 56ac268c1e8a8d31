import type { Reader } from './reader.ts'

interface Traits {
  readonly form: 'integer' | 'bigint' | 'float' | 'bool' | 'uuid' | 'text' | 'bytes'
  /** The fewest bytes that a value takes on the wire. */
  readonly bytesMin: number
  readonly nullable?: true
  /** Of integers: what a round trip keeps. */
  readonly range?: readonly [low: number, high: number]
}

/** Values that one method of `Reader` and the method of that name of `Writer` carry. */
export const scalars = {
  u8: { form: 'integer', bytesMin: 1, range: [0, 0xff] },
  i8: { form: 'integer', bytesMin: 1, range: [-0x80, 0x7f] },
  u16: { form: 'integer', bytesMin: 2, range: [0, 0xffff] },
  i16: { form: 'integer', bytesMin: 2, range: [-0x8000, 0x7fff] },
  u32: { form: 'integer', bytesMin: 4, range: [0, 0xffff_ffff] },
  i32: { form: 'integer', bytesMin: 4, range: [-0x8000_0000, 0x7fff_ffff] },
  i64: { form: 'integer', bytesMin: 8, range: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER] },
  bigint64: { form: 'bigint', bytesMin: 8 },
  f64: { form: 'float', bytesMin: 8 },
  bool: { form: 'bool', bytesMin: 1 },
  uvarint: { form: 'integer', bytesMin: 1, range: [0, 0xffff_ffff] },
  varint: { form: 'integer', bytesMin: 1, range: [-0x8000_0000, 0x7fff_ffff] },
  varlong: { form: 'integer', bytesMin: 1, range: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER] },
  uuid: { form: 'uuid', bytesMin: 16 },
  string8: { form: 'text', bytesMin: 1 },
  string16: { form: 'text', bytesMin: 2 },
  stringI16: { form: 'text', bytesMin: 2 },
  nullableString16: { form: 'text', bytesMin: 2, nullable: true },
  string32: { form: 'text', bytesMin: 4 },
  bytes32: { form: 'bytes', bytesMin: 4 },
  nullableBytes32: { form: 'bytes', bytesMin: 4, nullable: true },
  compactString: { form: 'text', bytesMin: 1 },
  compactNullableString: { form: 'text', bytesMin: 1, nullable: true },
  compactBytes: { form: 'bytes', bytesMin: 1 },
  compactNullableBytes: { form: 'bytes', bytesMin: 1, nullable: true },
} as const satisfies Partial<Record<keyof Reader, Traits>>

export type ScalarName = keyof typeof scalars
export type Scalar = ReturnType<Reader[ScalarName]>
export type UnsignedName = 'u8' | 'u16' | 'u32' | 'uvarint'

export const scalarTraits = (name: ScalarName): Traits => scalars[name]

export const noBytes = Buffer.alloc(0)

/** What a field of this kind holds that nobody set. */
export function zeroScalar(name: ScalarName): Scalar {
  const { form, nullable } = scalarTraits(name)
  return nullable ? null : zeros[form]
}

const zeros: Readonly<Record<Traits['form'], Scalar>> = {
  integer: 0,
  bigint: 0n,
  float: 0,
  bool: false,
  uuid: '0'.repeat(32),
  text: '',
  bytes: noBytes,
}
