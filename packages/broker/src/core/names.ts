import { BrokerError } from './errors.ts'

/**
 * Names of topics: 1 to 249 of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
 *
 * Every protocol that addresses topics can write such a name unchanged. A protocol whose own names have other characters
 * escapes them (docs/adr/0003-names-across-protocols.md). The rule may be widened later, never narrowed: names are stored.
 */
const topicNameLengthMax = 249
const nameBytesMax = 255

/** Throws `BrokerError` `name-invalid` that says what is wrong with the name. */
export function checkTopicName(name: string): void {
  const problem = topicNameProblem(name)
  if (problem !== undefined) throw new BrokerError('name-invalid', problem)
}

/** What is wrong with the name of a topic, as a sentence, or undefined when nothing is. */
export function topicNameProblem(name: string): string | undefined {
  if (name.length === 0) return 'a topic needs a name'
  if (name.length > topicNameLengthMax) {
    return `the name of a topic has at most ${topicNameLengthMax} characters, this one has ${name.length}`
  }
  if (name === '.' || name === '..') return `"${name}" cannot be the name of a topic`
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) return `${quote(name)} has characters other than a-z, A-Z, 0-9, ".", "_" and "-"`
  return undefined
}

/** Names of queues: any text of 1 to 255 bytes in UTF-8 without control characters. Throws `BrokerError` `name-invalid`. */
export const checkQueueName = (name: string): void => checkName(name, 'a queue')

/** Those of namespaces follow the same rule. */
export const checkNamespaceName = (name: string): void => checkName(name, 'a namespace')

/** Those of exchanges follow the same rule. */
export const checkExchangeName = (name: string): void => checkName(name, 'an exchange')

/** And those of schedules. */
export const checkScheduleName = (name: string): void => checkName(name, 'a schedule')

function checkName(name: string, what: string): void {
  const bytes = Buffer.byteLength(name)
  if (bytes === 0) throw new BrokerError('name-invalid', `${what} needs a name`)
  if (bytes > nameBytesMax) {
    const detail = `the name of ${what} has at most ${nameBytesMax} bytes, this one has ${bytes}`
    throw new BrokerError('name-invalid', detail)
  }
  if (/\p{Cc}/u.test(name)) throw new BrokerError('name-invalid', `${quote(name)} has control characters`)
}

/** A peer's text for an error message: control characters visible, not longer than a line. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
