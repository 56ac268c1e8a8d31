import type { Answer } from '../http/message.ts'
import type { Call } from './call.ts'

/** What a visitor must be: `vhost` is one who may enter the namespace of the path. */
export type Need = 'nothing' | 'management' | 'monitoring' | 'policymaker' | 'administrator' | 'vhost'

/** What it gives is answered as JSON, unless it is a `Result`. */
export type Handler = (call: Call) => unknown

export interface Route {
  /** Parts that begin with a colon stand for anything. The first route that fits counts. */
  readonly path: string
  readonly need: Need
  readonly on: { readonly [Method in 'GET' | 'PUT' | 'POST' | 'DELETE']?: Handler }
}

/** How clients of this API are told that something was made, or was there and has been changed. */
export const madeOrChanged = (isNew: boolean): Result => (isNew ? created : noContent)

/** An answer as it is. */
export class Result {
  readonly answer: Answer
  constructor(answer: Answer) {
    this.answer = answer
  }
}

export const created = new Result({ status: 201 })
export const noContent = new Result({ status: 204 })
