/** Whether somebody has asked the command to end, by SIGINT or SIGTERM. It ends by itself then; a second signal ends it at once. */
export class Interruption {
  /** Resolves when it comes. */
  readonly comes: Promise<undefined>
  #isThere = false

  constructor() {
    this.comes = new Promise(resolve => {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) {
        process.once(signal, () => {
          this.#isThere = true
          resolve(undefined)
        })
      }
    })
  }

  get isThere(): boolean {
    return this.#isThere
  }
}
