import type { Entry } from './handler.ts'

export const exchangeHandlers: readonly Entry[] = []
