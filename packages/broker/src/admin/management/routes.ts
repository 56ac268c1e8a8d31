import { bindingRoutes } from './bindings.ts'
import { connectionRoutes } from './connections.ts'
import { definitionRoutes } from './definitions.ts'
import { exchangeRoutes } from './exchanges.ts'
import { healthRoutes } from './health.ts'
import { messageRoutes } from './messages.ts'
import { metricsRoutes } from './metrics.ts'
import { overviewRoutes } from './overview.ts'
import { delayedRoutes } from './own/delayed.ts'
import { ownQueueRoutes } from './own/queues.ts'
import { scheduleRoutes } from './own/schedules.ts'
import { topicRoutes } from './own/topics.ts'
import { parameterRoutes } from './parameters.ts'
import { permissionRoutes } from './permissions.ts'
import { policyRoutes } from './policies.ts'
import { queueRoutes } from './queues.ts'
import type { Route } from './route.ts'
import { userRoutes } from './users.ts'
import { vhostRoutes } from './vhosts.ts'

/** All that is served. Of those that fit a path, the first counts. */
export const routes: readonly Route[] = [
  ...overviewRoutes,
  ...healthRoutes,
  ...metricsRoutes,
  ...connectionRoutes,
  ...exchangeRoutes,
  ...queueRoutes,
  ...bindingRoutes,
  ...messageRoutes,
  ...vhostRoutes,
  ...userRoutes,
  ...permissionRoutes,
  ...policyRoutes,
  ...parameterRoutes,
  ...definitionRoutes,
  ...delayedRoutes,
  ...scheduleRoutes,
  ...ownQueueRoutes,
  ...topicRoutes,
]
