import type { Entry } from './handler.ts'

export const basicHandlers: readonly Entry[] = []
