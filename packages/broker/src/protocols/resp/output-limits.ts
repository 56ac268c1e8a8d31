import { CommandError } from './errors.ts'

/** How much may wait for a client that subscribes to channels. */
export interface OutputLimit {
  /** Who leaves more unread is closed. */
  readonly hardBytes: number
  /** So is who leaves more than this unread for so long; 0: there is no such limit. */
  readonly softBytes: number
  readonly softSeconds: number
}

export const limitsName = 'client-output-buffer-limit'

/** What `0` means, for which Redis has no limit: memory is bounded here. */
const hardBytesMax = 1024 * 1024 * 1024

/** As Redis tells it. Other clients are not read while they do not take their answers, and there are no replicas. */
export const describeLimits = ({ hardBytes, softBytes, softSeconds }: OutputLimit): string =>
  `normal 0 0 0 slave 0 0 0 pubsub ${hardBytes} ${softBytes} ${softSeconds}`

/** What is left unchanged is that of `current`. Throws `CommandError`. */
export function parseLimits(text: string, current: OutputLimit): OutputLimit {
  const words = text.split(' ').filter(word => word !== '')
  if (words.length % 4 !== 0) throw refused('Wrong number of arguments in buffer limit configuration.')
  let limit = current
  for (let at = 0; at < words.length; at += 4) {
    const [kind = '', hard = '', soft = '', seconds = ''] = words.slice(at, at + 4)
    const hardBytes = bytesOf(hard)
    const softBytes = bytesOf(soft)
    if (!/^\d{1,9}$/.test(seconds) || hardBytes === undefined || softBytes === undefined)
      throw refused('Error in hard, soft or soft_seconds setting in buffer limit configuration.')
    const softSeconds = Number(seconds)
    switch (kind.toLowerCase()) {
      case 'pubsub':
        limit = { hardBytes: Math.min(hardBytes || hardBytesMax, hardBytesMax), softBytes, softSeconds }
        break
      case 'normal':
      case 'slave':
      case 'replica':
        if (hardBytes > 0 || softBytes > 0) throw refused('only pubsub clients have a limit here')
        break
      default:
        throw refused('Invalid client class specified in buffer limit configuration.')
    }
  }
  return limit
}

const units: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1024,
  m: 1e6,
  mb: 1024 ** 2,
  g: 1e9,
  gb: 1024 ** 3,
}

/** A size as Redis' settings have it. */
function bytesOf(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,15})([a-z]*)$/i.exec(text) ?? []
  const factor = units[unit.toLowerCase()]
  return digits === undefined || factor === undefined ? undefined : Number(digits) * factor
}

const refused = (why: string): CommandError =>
  new CommandError(`ERR CONFIG SET failed (possibly related to argument '${limitsName}') - ${why}`)
