import type { Random } from '@dragoman/wire'
import { DiskError } from '../runtime.ts'
import { FileNode } from './file-node.ts'

type Node = DirectoryNode | FileNode
type Entries = Map<string, Node>

/** Names, twice: as programs see them, and as the medium holds them. */
class DirectoryNode {
  readonly isDirectory = true
  current: Entries = new Map()
  durable: Entries = new Map()
}

/** A change of names that is not yet durable: in memory only, until the directories in `waitsFor` are synced. */
interface Change {
  node: Node
  waitsFor: Set<DirectoryNode>
  apply(): void
}

/** The names of a simulated file system. Relative and absolute paths have the same root. */
export class DirectoryTree {
  readonly #root = new DirectoryNode()
  #changes: Change[] = []

  file(path: string): FileNode {
    const { directory, name } = this.#place(path)
    const node = directory.current.get(name)
    if (!node || node.isDirectory) throw new DiskError('not-found', `There is no file ${path}`)
    return node
  }

  create(path: string): FileNode {
    const { directory, name } = this.#place(path)
    if (directory.current.has(name)) throw new DiskError('exists', `${path} exists`)
    const node = new FileNode()
    this.#add(directory, name, node)
    return node
  }

  #add(directory: DirectoryNode, name: string, node: Node): void {
    directory.current.set(name, node)
    this.#changes.push({ node, waitsFor: new Set([directory]), apply: () => directory.durable.set(name, node) })
  }

  /** Returns where something was made: the names are durable when these are synced. */
  makeDirectory(path: string): string[] {
    let directory = this.#root
    let parent = ''
    const changed: string[] = []
    for (const name of segments(path)) {
      let node = directory.current.get(name)
      if (!node) {
        node = new DirectoryNode()
        this.#add(directory, name, node)
        changed.push(parent)
      }
      if (!node.isDirectory) throw new DiskError('exists', `${path} is a file`)
      directory = node
      parent = `${parent}/${name}`
    }
    return changed
  }

  list(path: string): string[] {
    return [...this.#directory(path).current.keys()]
  }

  rename(source: string, target: string): void {
    const from = this.#place(source)
    const to = this.#place(target)
    const node = from.directory.current.get(from.name)
    if (!node) throw new DiskError('not-found', `There is no ${source}`)
    from.directory.current.delete(from.name)
    to.directory.current.set(to.name, node)
    this.#changes.push({
      node,
      waitsFor: new Set([from.directory, to.directory]),
      apply: () => {
        if (from.directory.durable.get(from.name) === node) from.directory.durable.delete(from.name)
        to.directory.durable.set(to.name, node)
      },
    })
  }

  remove(path: string): void {
    const { directory, name } = this.#place(path)
    const node = directory.current.get(name)
    if (!node) throw new DiskError('not-found', `There is no ${path}`)
    if (node.isDirectory && node.current.size > 0) throw new DiskError('exists', `${path} is not empty`)
    directory.current.delete(name)
    this.#changes.push({
      node,
      waitsFor: new Set([directory]),
      apply: () => {
        if (directory.durable.get(name) === node) directory.durable.delete(name)
      },
    })
  }

  /** The changes of this directory become durable, in their order. */
  sync(path: string): void {
    const directory = this.#directory(path)
    this.#changes = this.#changes.filter(change => {
      change.waitsFor.delete(directory)
      if (change.waitsFor.size > 0) return true
      change.apply()
      return false
    })
  }

  /**
   * Of the changes not yet durable some are left: those up to a moment, or any of them, but of each file a first part of its
   * own: a journaling file system does not move a file from a place where it has never been.
   */
  losePower(random: Random, tornChance: number): void {
    const until = random.chance(0.5) ? random.below(this.#changes.length + 1) : this.#changes.length
    const keepChance = random.chance(0.5) ? 0.5 : 1
    const lost = new Set<Node>()
    for (const [index, change] of this.#changes.entries()) {
      if (index >= until || lost.has(change.node) || !random.chance(keepChance)) lost.add(change.node)
      else change.apply()
    }
    this.#changes = []
    restore(this.#root, random, tornChance)
  }

  /** Pages of all files that have a name. */
  pageCount(): number {
    return countPages(this.#root)
  }

  /** Paths of all files, for tests. */
  paths(): string[] {
    return [...pathsBelow(this.#root, '')]
  }

  #directory(path: string): DirectoryNode {
    let directory = this.#root
    for (const name of segments(path)) {
      const node = directory.current.get(name)
      if (!node?.isDirectory) throw new DiskError('not-found', `There is no directory ${path}`)
      directory = node
    }
    return directory
  }

  #place(path: string): { directory: DirectoryNode; name: string } {
    const names = segments(path)
    const name = names.pop()
    if (name === undefined) throw new DiskError('denied', `${path} is the root`)
    return { directory: this.#directory(names.join('/')), name }
  }
}

function segments(path: string): string[] {
  return path.split('/').filter(name => name !== '' && name !== '.')
}

function restore(directory: DirectoryNode, random: Random, tornChance: number): void {
  directory.current = new Map(directory.durable)
  for (const node of directory.current.values()) {
    if (node.isDirectory) restore(node, random, tornChance)
    else node.losePower(random, tornChance)
  }
}

function countPages(directory: DirectoryNode): number {
  let count = 0
  for (const node of directory.current.values()) count += node.isDirectory ? countPages(node) : node.pageCount
  return count
}

function* pathsBelow(directory: DirectoryNode, prefix: string): Generator<string> {
  for (const [name, node] of directory.current) {
    if (node.isDirectory) yield* pathsBelow(node, `${prefix}${name}/`)
    else yield `${prefix}${name}`
  }
}
