import type { Write } from '@dragoman/wire'
import { clusterName } from '../../../core/identity/permissions.ts'
import { codes } from '../errors.ts'
import { apis } from '../messages/index.ts'
import { defineHandler } from './handler.ts'

type Answer = Write<typeof apis.listPartitionReassignments.response>

/** ListPartitionReassignments 0: there is one broker, so nothing ever moves. Tools ask while they describe topics. */
export const handler = defineHandler(apis.listPartitionReassignments, (exchange): Answer => {
  if (exchange.may('describe', 'cluster', clusterName)) return { topics: [] }
  return { errorCode: codes.clusterAuthorizationFailed, errorMessage: 'This needs the right to describe the cluster.' }
})
