import type { StreamId } from '../cell/client.ts'

export const homeNamespace = '/'

export interface Topic {
  /** 16 bytes as 32 hexadecimal digits; a topic made again under the same name has another. */
  readonly id: string
  readonly namespace: string
  readonly name: string
  readonly partitions: readonly StreamId[]
  /** Only what was set; `core/topic-config.ts` gives the defaults. */
  readonly config: ReadonlyMap<string, string>
  /** What is set for all topics that do not say otherwise. */
  readonly defaults?: ReadonlyMap<string, string> | undefined
}
