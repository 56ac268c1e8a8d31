/** The broker cannot start, and why, in words for the person who started it. */
export class StartError extends Error {
  override name = 'StartError'
}
