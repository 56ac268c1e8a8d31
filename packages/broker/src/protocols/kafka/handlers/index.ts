import * as apiVersions from './18-api-versions.ts'
import type { Handler } from './handler.ts'

/** All requests that are answered, by api key. What ApiVersions offers comes from here. */
export const handlers: ReadonlyMap<number, Handler> = new Map([apiVersions].map(({ handler }) => [handler.key, handler]))
