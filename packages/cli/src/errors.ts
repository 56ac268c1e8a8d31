import { codes } from '@dragoman/broker/kafka-errors'
import { CommandError } from './command.ts'

const words: Partial<Record<number, string>> = {
  [codes.topicAuthorizationFailed]: 'The user may not do this to the topic',
  [codes.groupAuthorizationFailed]: 'The user may not do this to the group',
  [codes.clusterAuthorizationFailed]: 'The user may not do this to the broker',
  [codes.transactionalIdAuthorizationFailed]: 'The user may not use the transactional id',
  [codes.unknownTopicOrPartition]: 'The topic or partition does not exist',
  [codes.topicAlreadyExists]: 'The topic already exists',
  [codes.invalidTopic]: 'The name of the topic is not allowed',
  [codes.groupIdNotFound]: 'The group does not exist',
  [codes.nonEmptyGroup]: 'The group still has members',
  [codes.messageTooLarge]: 'The message is larger than the topic allows (max.message.bytes)',
  [codes.kafkaStorageError]: 'The broker cannot write now: its disk is full, or it is shutting down',
  [codes.offsetOutOfRange]: 'The offset is outside what the partition holds',
  [codes.unknownMemberId]: 'The group has members, or does not know this one',
}

/** `topicAlreadyExists` becomes `topic already exists`. */
function nameOf(code: number): string {
  const name = Object.entries(codes).find(([, value]) => value === code)?.[0]
  return name === undefined ? `error ${code}` : name.replaceAll(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`)
}

/** What the broker's refusal means. */
export const explainCode = (code: number, message?: string | null): string =>
  message || words[code] || `The broker answers: ${nameOf(code)}`

/** Throws unless the code says that all is well. */
export function check(code: number, what: string, message?: string | null): void {
  if (code !== codes.none) throw new CommandError(`${what}: ${explainCode(code, message)}`)
}

/** Codes that stand for a state that passes. */
export const isPassing = (code: number): boolean => passing.has(code)

const passing = new Set<number>([
  codes.unknownTopicOrPartition,
  codes.requestTimedOut,
  codes.coordinatorLoadInProgress,
  codes.coordinatorNotAvailable,
  codes.notCoordinator,
  codes.notEnoughReplicas,
  codes.kafkaStorageError,
  codes.fencedLeaderEpoch,
  codes.unknownLeaderEpoch,
])
