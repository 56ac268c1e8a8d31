export * from './bytes.ts'
export type { Field, MessageNode, Node, StructNode } from './node.ts'
export * from './random.ts'
export * from './schema.ts'
