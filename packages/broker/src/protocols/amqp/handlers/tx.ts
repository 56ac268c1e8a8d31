import type { Entry } from './handler.ts'

export const txHandlers: readonly Entry[] = []
