/** Reason codes of 5.0, by their names in the specification. [MQTT 5.0, 2.4] */
export const reasons = {
  success: 0x00,
  grantedQos1: 0x01,
  grantedQos2: 0x02,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reauthenticate: 0x19,
  unspecified: 0x80,
  malformed: 0x81,
  protocolError: 0x82,
  implementation: 0x83,
  versionUnsupported: 0x84,
  clientIdInvalid: 0x85,
  badCredentials: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  shuttingDown: 0x8b,
  badMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  takenOver: 0x8e,
  filterInvalid: 0x8f,
  topicInvalid: 0x90,
  packetIdInUse: 0x91,
  packetIdNotFound: 0x92,
  receiveMaximum: 0x93,
  aliasInvalid: 0x94,
  packetTooLarge: 0x95,
  rateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrative: 0x98,
  payloadInvalid: 0x99,
  retainUnsupported: 0x9a,
  qosUnsupported: 0x9b,
  useAnother: 0x9c,
  moved: 0x9d,
  sharedUnsupported: 0x9e,
  connectionRate: 0x9f,
  connectTime: 0xa0,
  identifiersUnsupported: 0xa1,
  wildcardsUnsupported: 0xa2,
} as const

export type Reason = (typeof reasons)[keyof typeof reasons]

/** The first code that says that something was refused. */
export const failureFrom = 0x80

/** What 3.1 and 3.1.1 answer to CONNECT instead. [MQTT 3.1.1, 3.2.2.3] */
export function returnCode(reason: number): number {
  switch (reason) {
    case reasons.success:
      return 0
    case reasons.versionUnsupported:
      return 1
    case reasons.clientIdInvalid:
      return 2
    case reasons.badCredentials:
      return 4
    case reasons.notAuthorized:
    case reasons.banned:
    case reasons.badMethod:
      return 5
    default:
      return 3
  }
}
