export * from './bytes.ts'
export * from './random.ts'
