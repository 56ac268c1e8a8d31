import {
  bytesMin,
  inRange,
  isPlainObject,
  referScalar,
  scalarOf,
  taggedFields,
  zero,
  type Node,
  type NodeOf,
  type StructNode,
} from './node.ts'

/** The body of a function of `h` (helpers) and `c` (constants) that returns the reading or writing function. */
export interface Emitted {
  readonly source: string
  readonly constants: readonly unknown[]
}

export function emitReader(node: Node, version: number, flexible: boolean): Emitted {
  const emitter = new ReadEmitter(version, flexible)
  return emitter.finish(emitter.function(node))
}

export function emitWriter(node: Node, version: number, flexible: boolean): Emitted {
  const emitter = new WriteEmitter(version, flexible)
  return emitter.finish(emitter.function(node))
}

/** What reading and writing share: names, constants, and one function for each struct. */
abstract class Emitter {
  readonly version: number
  readonly flexible: boolean
  readonly #constants: unknown[] = []
  readonly #functions: string[] = []
  readonly #names = new Map<Node, string>()
  #nameCount = 0

  constructor(version: number, flexible: boolean) {
    this.version = version
    this.flexible = flexible
  }

  finish(entry: string): Emitted {
    return { source: `'use strict'\n${this.#functions.join('\n')}\nreturn ${entry}`, constants: this.#constants }
  }

  /** The name of the function for this node, which is emitted at the first call. */
  function(node: Node): string {
    const known = this.#names.get(node)
    if (known !== undefined) return known
    const name = this.name('f')
    this.#names.set(node, name)
    const source = this.body(name, node)
    this.#functions.push(source)
    return name
  }

  protected abstract body(name: string, node: Node): string

  name(prefix: string): string {
    return `${prefix}${this.#nameCount++}`
  }

  /** An expression for a value of the declaration, which makes lists and objects anew each time. */
  literal(value: unknown): string {
    if (value === null || typeof value === 'boolean') return String(value)
    if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value)
    if (typeof value === 'bigint') return `${value}n`
    if (typeof value === 'string') return JSON.stringify(value)
    if (Array.isArray(value)) return `[${value.map(item => this.literal(item)).join(', ')}]`
    if (isPlainObject(value)) {
      const fields = Object.entries(value).map(([name, field]) => `${JSON.stringify(name)}: ${this.literal(field)}`)
      return `{ ${fields.join(', ')} }`
    }
    return this.constant(value)
  }

  /** An expression for the value itself. */
  constant(value: unknown): string {
    this.#constants.push(value)
    return `c[${this.#constants.length - 1}]`
  }

  compact(node: NodeOf<'list'>): boolean {
    return node.count === 'compact' || (node.count === 'flex' && this.flexible)
  }
}

class ReadEmitter extends Emitter {
  protected override body(name: string, node: Node): string {
    const lines: string[] = []
    const result = node.kind === 'struct' ? this.#struct(node, lines) : this.#value(node, 'r', lines)
    return `function ${name}(r) {\n${lines.join('\n')}\nreturn ${result}\n}`
  }

  /** Adds the statements that read a value and returns an expression for it, which is to be used at once. */
  #value(node: Node, reader: string, lines: string[]): string {
    switch (node.kind) {
      case 'scalar':
        return `${reader}.${node.name}()`
      case 'flex':
        return `${reader}.${scalarOf(node, this.flexible)}()`
      case 'refer':
        return `${reader}.${referScalar(node, this.flexible)}()`
      case 'raw':
        return `${reader}.bytes(${node.length})`
      case 'custom':
        return `${this.constant(node.form)}.read(${reader})`
      case 'rest':
        return `${reader}.rest()`
      case 'list':
        return this.#list(node, reader, lines)
      case 'flags':
        return this.#flags(node, reader, lines)
      case 'struct':
        return `${this.function(node)}(${reader})`
      case 'nullable':
        return this.#nullable(node, reader, lines)
      case 'ranged':
        return inRange(node, this.version) ? this.#value(node.of, reader, lines) : this.literal(node.fallback)
      case 'tagged':
        return this.literal(node.fallback)
      case 'message':
        return `${this.function(node.of)}(${reader})`
    }
  }

  /** Fields into variables first and one literal at the end: all objects of a struct share one hidden class. */
  #struct(node: StructNode, lines: string[]): string {
    const names = new Map(node.fields.map(field => [field.name, this.name('v')]))
    for (const field of node.fields) {
      const keyword = field.node.kind === 'tagged' ? 'let' : 'const'
      const value = this.#value(field.node, 'r', lines)
      lines.push(`${keyword} ${names.get(field.name)} = ${value}`)
    }
    if (this.flexible) this.#tags(node, names, lines)
    return `{ ${node.fields.map(field => `${JSON.stringify(field.name)}: ${names.get(field.name)}`).join(', ')} }`
  }

  #tags(node: StructNode, names: ReadonlyMap<string, string>, lines: string[]): void {
    lines.push(
      'for (let n = r.uvarint(); n > 0; n--) {',
      'const tag = r.uvarint(), size = r.uvarint()',
      'switch (tag) {',
    )
    for (const field of taggedFields(node, this.version)) {
      const inner = this.name('r')
      lines.push(`case ${field.node.tag}: {`, `const ${inner} = h.taggedReader(r, size)`)
      const value = this.#value(field.node.of, inner, lines)
      lines.push(`${names.get(field.name)} = ${value}`, `h.endTagged(r, ${inner})`, 'break', '}')
    }
    lines.push('default: r.skip(size)', '}', '}')
  }

  #list(node: NodeOf<'list'>, reader: string, lines: string[]): string {
    const items = this.name('a')
    if (node.count === 'end') {
      const at = this.name('at')
      lines.push(`const ${items} = []`, `while (!${reader}.done()) {`, `const ${at} = ${reader}.at`)
      const value = this.#value(node.of, reader, lines)
      lines.push(`${items}.push(${value})`, `h.checkProgress(${reader}, ${at})`, '}')
      return items
    }
    const count = this.name('n')
    const index = this.name('i')
    const number =
      node.count === 'u16' ? `${reader}.u16()` : this.compact(node) ? `${reader}.uvarint() - 1` : `${reader}.i32()`
    lines.push(`const ${count} = ${number}`, `let ${items} = null`)
    lines.push(node.nullable ? `if (${count} !== -1) {` : '{')
    lines.push(`h.checkCount(${reader}, ${count}, ${this.#bytesMin(node.of)})`, `${items} = []`)
    lines.push(`for (let ${index} = 0; ${index} < ${count}; ${index}++) {`)
    const value = this.#value(node.of, reader, lines)
    lines.push(`${items}.push(${value})`, '}', '}')
    return items
  }

  #bytesMin(node: Node): number {
    return bytesMin(node, this.version, this.flexible)
  }

  #flags(node: NodeOf<'flags'>, reader: string, lines: string[]): string {
    const bits = this.name('b')
    lines.push(`const ${bits} = ${reader}.${node.of}()`)
    const fields = Object.entries(node.bits).map(
      ([name, bit]) => `${JSON.stringify(name)}: (${bits} & ${1 << bit}) !== 0`,
    )
    return `{ ${fields.join(', ')} }`
  }

  #nullable(node: NodeOf<'nullable'>, reader: string, lines: string[]): string {
    const name = this.name('o')
    lines.push(`let ${name} = null`, `if (h.readPresence(${reader})) {`)
    const value = this.#value(node.of, reader, lines)
    lines.push(`${name} = ${value}`, '}')
    return name
  }
}

class WriteEmitter extends Emitter {
  protected override body(name: string, node: Node): string {
    const lines: string[] = []
    if (node.kind === 'struct') this.#struct(node, lines)
    else this.#value(node, 'w', 'v', lines)
    return `function ${name}(w, v) {\n${lines.join('\n')}\n}`
  }

  /** Adds the statements that write the value of the expression `given`, or what stands for it if that is undefined. */
  #value(node: Node, writer: string, given: string, lines: string[]): void {
    if (node.kind === 'tagged' || (node.kind === 'ranged' && !inRange(node, this.version))) return
    const value = this.name('x')
    const fallback = node.kind === 'custom' ? `${this.constant(node.form)}.zero()` : this.literal(zero(node))
    lines.push(`let ${value} = ${given}`, `if (${value} === undefined) ${value} = ${fallback}`)
    this.#present(node.kind === 'ranged' ? node.of : node, writer, value, lines)
  }

  #present(node: Node, writer: string, value: string, lines: string[]): void {
    switch (node.kind) {
      case 'scalar':
        return void lines.push(`${writer}.${node.name}(${value})`)
      case 'flex':
        return void lines.push(`${writer}.${scalarOf(node, this.flexible)}(${value})`)
      case 'refer':
        return void lines.push(`h.writeRefer(${writer}, ${value}, ${this.flexible})`)
      case 'raw':
        return void lines.push(`h.writeRaw(${writer}, ${value}, ${node.length})`)
      case 'custom':
        return void lines.push(`${this.constant(node.form)}.write(${writer}, ${value})`)
      case 'rest':
        return void lines.push(`${writer}.bytes(${value})`)
      case 'list':
        return this.#list(node, writer, value, lines)
      case 'flags':
        return this.#flags(node, writer, value, lines)
      case 'struct':
        return void lines.push(`${this.function(node)}(${writer}, ${value})`)
      case 'nullable':
        lines.push(`${writer}.i8(${value} === null ? -1 : 1)`, `if (${value} !== null) {`)
        this.#value(node.of, writer, value, lines)
        return void lines.push('}')
      case 'ranged':
      case 'tagged':
        return this.#value(node, writer, value, lines)
      case 'message':
        return void lines.push(`${this.function(node.of)}(${writer}, ${value})`)
    }
  }

  #struct(node: StructNode, lines: string[]): void {
    for (const field of node.fields) this.#value(field.node, 'w', `v[${JSON.stringify(field.name)}]`, lines)
    if (this.flexible) this.#tags(node, lines)
  }

  #tags(node: StructNode, lines: string[]): void {
    const fields = taggedFields(node, this.version).map(field => ({
      ...field,
      value: this.name('t'),
      present: this.name('p'),
    }))
    for (const { name, node: tagged, value, present } of fields) {
      const fallback = this.literal(tagged.fallback)
      const simple = tagged.fallback === null || typeof tagged.fallback !== 'object'
      const same = simple ? `${value} === ${fallback}` : `h.isFallback(${value}, ${fallback})`
      lines.push(
        `const ${value} = v[${JSON.stringify(name)}]`,
        `const ${present} = ${value} !== undefined && !(${same})`,
      )
    }
    lines.push(`w.uvarint(${fields.map(({ present }) => `(${present} ? 1 : 0)`).join(' + ') || '0'})`)
    for (const { node: tagged, value, present } of fields) {
      const inner = this.name('w')
      lines.push(`if (${present}) {`, `const ${inner} = new h.Writer()`)
      this.#value(tagged.of, inner, value, lines)
      lines.push(`h.writeTag(w, ${tagged.tag}, ${inner})`, '}')
    }
  }

  #list(node: NodeOf<'list'>, writer: string, value: string, lines: string[]): void {
    const count = this.name('n')
    const index = this.name('i')
    lines.push(`const ${count} = ${value} === null ? -1 : ${value}.length`)
    if (node.count === 'u16') lines.push(`h.writeCount16(${writer}, ${count})`)
    else if (this.compact(node)) lines.push(`${writer}.uvarint(${count} + 1)`)
    else if (node.count !== 'end') lines.push(`${writer}.i32(${count})`)
    lines.push(`for (let ${index} = 0; ${index} < ${count}; ${index}++) {`)
    this.#value(node.of, writer, `${value}[${index}]`, lines)
    lines.push('}')
  }

  #flags(node: NodeOf<'flags'>, writer: string, value: string, lines: string[]): void {
    const bits = Object.entries(node.bits).map(
      ([name, bit]) => `(${value}[${JSON.stringify(name)}] === true ? ${1 << bit} : 0)`,
    )
    lines.push(`${writer}.${node.of}((${bits.join(' | ') || '0'}) >>> 0)`)
  }
}
