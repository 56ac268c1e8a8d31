import type { Header } from '../message.ts'
import type { Binding, Matcher, Place } from './place.ts'

interface Node {
  readonly word: string
  readonly parent: Node | undefined
  /** By word, the wildcards among them, which are fields besides. */
  readonly children: Map<string, Node>
  one: Node | undefined
  many: Node | undefined
  /** Bindings whose pattern ends here. */
  readonly bindings: Set<Binding>
  /** Number of the step that reached it last. */
  mark: number
}

/**
 * Patterns word by word. A key is matched in one pass over its words with the set of nodes that are reached, each once per word: what it costs
 * is bounded by words times the nodes that match so far, however many `#` the patterns have.
 */
export class TopicTrie implements Matcher {
  readonly isByKey = true
  readonly #root = newNode('', undefined)
  #step = 0
  /** Used again by each match. */
  readonly #reached: Node[] = []
  readonly #next: Node[] = []

  add(binding: Binding): void {
    let node = this.#root
    for (const word of patternWords(binding.key)) {
      let child = node.children.get(word)
      if (!child) {
        node.children.set(word, (child = newNode(word, node)))
        if (word === '*') node.one = child
        else if (word === '#') node.many = child
      }
      node = child
    }
    node.bindings.add(binding)
  }

  remove(binding: Binding): void {
    let node: Node | undefined = this.#root
    for (const word of patternWords(binding.key)) node = node?.children.get(word)
    node?.bindings.delete(binding)
    while (node?.parent && node.bindings.size === 0 && node.children.size === 0) {
      const { word, parent }: Node = node
      parent?.children.delete(word)
      if (parent && word === '*') parent.one = undefined
      else if (parent && word === '#') parent.many = undefined
      node = parent
    }
  }

  match(key: string, _headers: readonly Header[], found: Place[]): void {
    let [reached, next] = [this.#reached, this.#next]
    reached.length = 0
    this.#step++
    this.#reach(this.#root, reached)
    for (let at = key === '' ? 1 : 0; at <= key.length && reached.length > 0;) {
      const dot = key.indexOf('.', at)
      const end = dot < 0 ? key.length : dot
      const word = key.slice(at, end)
      // A word that looks like a wildcard is none here.
      const isWild = word === '*' || word === '#'
      next.length = 0
      this.#step++
      for (const node of reached) {
        // What stands for any number of words stands for one more.
        if (node.word === '#') this.#reach(node, next)
        if (!isWild) this.#reach(node.children.get(word), next)
        this.#reach(node.one, next)
      }
      ;[reached, next] = [next, reached]
      at = end + 1
    }
    for (const { bindings } of reached) for (const { destination } of bindings) found.push(destination)
  }

  /** `#` matches no word, too: with a node, the `#` below it is reached. */
  #reach(node: Node | undefined, reached: Node[]): void {
    for (let at = node; at !== undefined && at.mark !== this.#step; at = at.many) {
      at.mark = this.#step
      reached.push(at)
    }
  }
}

function newNode(word: string, parent: Node | undefined): Node {
  return { word, parent, children: new Map(), one: undefined, many: undefined, bindings: new Set(), mark: 0 }
}

/** Several `#` in a row mean the same as one. */
function patternWords(pattern: string): string[] {
  // As a key, a pattern without characters has no words.
  const words = pattern === '' ? [] : pattern.split('.')
  return words.filter((word, at) => word !== '#' || words[at - 1] !== '#')
}
