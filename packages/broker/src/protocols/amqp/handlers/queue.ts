import type { Entry } from './handler.ts'

export const queueHandlers: readonly Entry[] = []
