interface Node<T> {
  readonly word: string
  readonly parent: Node<T> | undefined
  children: Map<string, Node<T>> | undefined
  value: T | undefined
}

/** Values by keys of words between dots, and those whose keys match a pattern: `*` stands for one word, `#` for any number. */
export class SubjectTree<T> {
  readonly #root: Node<T> = newNode('', undefined)

  get(key: string): T | undefined {
    let node: Node<T> | undefined = this.#root
    for (const word of key.split('.')) node = node?.children?.get(word)
    return node?.value
  }

  set(key: string, value: T): void {
    let node = this.#root
    for (const word of key.split('.')) {
      const children: Map<string, Node<T>> = (node.children ??= new Map())
      let child = children.get(word)
      if (!child) children.set(word, (child = newNode(word, node)))
      node = child
    }
    node.value = value
  }

  delete(key: string): void {
    let node: Node<T> | undefined = this.#root
    for (const word of key.split('.')) node = node?.children?.get(word)
    if (!node) return
    node.value = undefined
    while (node.parent && node.value === undefined && !node.children) {
      const { parent, word }: Node<T> = node
      parent.children?.delete(word)
      if (parent.children?.size === 0) parent.children = undefined
      node = parent
    }
  }

  /** Each value once, in no order. Takes time in proportion to the branches that may match. */
  match(pattern: string): T[] {
    // Several `#` in a row mean the same as one.
    const words = pattern.split('.').filter((word, at, all) => word !== '#' || all[at - 1] !== '#')
    const found = new Set<Node<T>>()
    const seen = new Map<Node<T>, Set<number>>()
    const waiting: [Node<T>, number][] = [[this.#root, 0]]
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [node, at] = next
      const steps = seen.get(node)
      if (steps?.has(at)) continue
      if (words.includes('#')) {
        if (steps) steps.add(at)
        else seen.set(node, new Set([at]))
      }
      this.#step(node, at, words, found, waiting)
    }
    return Array.from(found, ({ value }) => value as T)
  }

  #step(node: Node<T>, at: number, words: readonly string[], found: Set<Node<T>>, waiting: [Node<T>, number][]): void {
    const word = words[at]
    if (word === undefined) {
      if (node.value !== undefined) found.add(node)
      return
    }
    if (word === '#') {
      waiting.push([node, at + 1])
      for (const child of node.children?.values() ?? []) waiting.push([child, at])
    } else if (word === '*') {
      for (const child of node.children?.values() ?? []) waiting.push([child, at + 1])
    } else {
      const child = node.children?.get(word)
      if (child) waiting.push([child, at + 1])
    }
  }
}

function newNode<T>(word: string, parent: Node<T> | undefined): Node<T> {
  return { word, parent, children: undefined, value: undefined }
}
