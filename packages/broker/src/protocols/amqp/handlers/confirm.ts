import type { Entry } from './handler.ts'

export const confirmHandlers: readonly Entry[] = []
