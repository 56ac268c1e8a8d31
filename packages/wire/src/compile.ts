import { Writer } from './writer.ts'
import type { Reader } from './reader.ts'
import { emitReader, emitWriter, type Emitted } from './emit.ts'
import {
  checkCount,
  checkProgress,
  endTagged,
  noVersion,
  readPresence,
  taggedReader,
  writeCount16,
  writeRaw,
  writeRefer,
  writeTag,
} from './interpret.ts'
import { isFallback, newestVersion, versionOf, type MessageNode, type Node } from './node.ts'
import type { Random } from './random.ts'
import { sampleValue } from './sample.ts'
import type { Codec } from './schema.ts'

type ReadFunction = (reader: Reader) => unknown
type WriteFunction = (writer: Writer, value: unknown) => void

/** What the emitted code calls by name, as `h.name`. */
const helpers = {
  Writer,
  checkCount,
  checkProgress,
  endTagged,
  isFallback,
  readPresence,
  taggedReader,
  writeCount16,
  writeRaw,
  writeRefer,
  writeTag,
}

/**
 * The same codec with `read` and `write` generated as JavaScript, one function for each version at its first use: same values,
 * same `ProtocolError`. About three times as fast; generating takes
 * some 50 µs and a few kilobytes, so what is rare stays interpreted.
 */
export function compile<T, W>(codec: Codec<T, W>): Codec<T, W> {
  return new CompiledCodec<T, W>(codec.node)
}

class CompiledCodec<T, W> implements Codec<T, W> {
  readonly node: Node
  /** By version; the newest one, which is meant where none is named, is at 0 unless the declaration is a message. */
  readonly #reads: (ReadFunction | undefined)[] = []
  readonly #writes: (WriteFunction | undefined)[] = []

  constructor(node: Node) {
    this.node = node
  }

  read(reader: Reader, version?: number): T {
    const slot = this.#slot(version)
    const run = this.#reads[slot] ?? (this.#reads[slot] = generate<ReadFunction>(emitReader, this.node, version))
    return run(reader) as T
  }

  write(writer: Writer, value: W, version?: number): void {
    const slot = this.#slot(version)
    const run = this.#writes[slot] ?? (this.#writes[slot] = generate<WriteFunction>(emitWriter, this.node, version))
    run(writer, value)
  }

  sample(random: Random, version?: number): T {
    return sampleValue(this.node, random, version) as T
  }

  #slot(version: number | undefined): number {
    const node = this.node
    if (node.kind !== 'message') return version === undefined || version >= newestVersion ? 0 : version + 1
    const meant = version ?? node.versions[1]
    return meant >= node.versions[0] && meant <= node.versions[1] ? meant : noVersion(node, meant)
  }
}

function generate<F>(
  emit: (node: Node, version: number, flexible: boolean) => Emitted,
  node: Node,
  version?: number,
): F {
  const meant = versionOf(node, version) ?? noVersion(node as MessageNode, version)
  const { source, constants } = emit(node, meant.version, meant.flexible)
  // The source is made of declarations in our own code alone: nothing that a peer sends gets into it.
  // oxlint-disable-next-line typescript/no-implied-eval
  return new Function('h', 'c', source)(helpers, constants) as F
}
