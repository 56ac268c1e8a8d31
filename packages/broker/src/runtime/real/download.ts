import { NetworkError } from '../runtime.ts'

/** The text at an address of the web, followed through redirections. */
export async function download(
  url: string,
  { bytesMax, timeoutMs }: { bytesMax: number; timeoutMs: number },
): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) })
    if (!response.ok) throw new Error(`the answer is ${response.status} ${response.statusText}`)
    const parts: Uint8Array[] = []
    let bytes = 0
    for await (const part of response.body ?? []) {
      bytes += part.length
      if (bytes > bytesMax) throw new Error(`it is larger than ${bytesMax} bytes`)
      parts.push(part)
    }
    return Buffer.concat(parts).toString()
  } catch (error) {
    const { message, cause } = error as Error
    const reason = cause instanceof Error ? `${message}: ${cause.message}` : message
    throw new NetworkError('unavailable', `Cannot get ${url}: ${reason}`, { cause: error })
  }
}
