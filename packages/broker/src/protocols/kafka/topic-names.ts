import { homeNamespace, type Broker, type Topic } from '../../core/broker.ts'
import { topicNameProblem } from '../../core/names.ts'

/** The topic that a request names: by its id or by its name, depending on the request's version. */
export function topicNamed(
  broker: Broker,
  { name, topicId }: { readonly name: string; readonly topicId: string },
  byId: boolean,
): Topic | undefined {
  if (!byId) return broker.topics.get(homeNamespace, name)
  const topic = broker.topics.byId(topicId)
  return topic?.namespace === homeNamespace ? topic : undefined
}

/** All topics whose names clients of this protocol can write. */
export function topicsOf(broker: Broker): Topic[] {
  return broker.topics.list(homeNamespace).filter(({ name }) => topicNameProblem(name) === undefined)
}
