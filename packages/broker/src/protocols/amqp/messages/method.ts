import type { Codec } from '@dragoman/wire'

/** A method of the protocol, declared once. */
export interface Method<T = unknown, W = never> {
  /** As in the specification: `queue.declare`. */
  readonly name: string
  readonly classId: number
  readonly methodId: number
  /** Both, as the first four bytes of a method frame. */
  readonly id: number
  readonly codec: Codec<T, W>
  /** A message follows: its header and its body. */
  readonly hasContent: boolean
}

export function method<T, W>(
  name: string,
  classId: number,
  methodId: number,
  codec: Codec<T, W>,
  { hasContent = false } = {},
): Method<T, W> {
  return { name, classId, methodId, id: classId * 0x1_0000 + methodId, codec, hasContent }
}

export type Arguments<M> = M extends Method<infer T, never> ? T : never
export type Answer<M> = M extends Method<unknown, infer W> ? W : never
