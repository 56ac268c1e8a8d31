import { homeNamespace, type Broker, type Topic } from '../../core/broker.ts'

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
