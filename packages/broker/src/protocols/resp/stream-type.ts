import type { Broker } from '../../core/broker.ts'
import type { KeyType, Keyspace } from './keyspace.ts'

/** Streams as a kind of value. */
export const streamTypes = (_broker: Broker, _keys: Keyspace): readonly KeyType[] => []
