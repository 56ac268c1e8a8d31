/** A place in two answers that differs. */
export interface Difference {
  path: string
  theirs: unknown
  ours: unknown
}

/** What is chosen anew by each broker, or is only for people: whether it is there is compared, not what it is. */
const chosenByBroker = new Set([
  'clientInstanceId',
  'clusterId',
  'documentation',
  'errorMessage',
  'host',
  'logDir',
  'port',
  'replicaDirectoryId',
  'topicId',
])

/** What changes from one moment to the next. */
const momentary = new Set([
  'throttleTimeMs',
  'lastFetchTimestamp',
  'lastCaughtUpTimestamp',
  'totalBytes',
  'usableBytes',
])

/** Lists whose order means nothing, with what their items are found by. */
const keysOfLists: Record<string, readonly string[]> = {
  apiKeys: ['apiKey'],
  configs: ['name'],
  configResources: ['resourceType', 'resourceName'],
  entity: ['entityType'],
  entries: ['entity'],
  partitions: ['partitionIndex', 'partition'],
  partitionResult: ['partitionId'],
  replicaElectionResults: ['topic'],
  responses: ['resourceType', 'resourceName', 'name', 'topicId'],
  results: ['resourceType', 'resourceName', 'name'],
  supportedFeatures: ['name'],
  finalizedFeatures: ['name'],
  topics: ['name', 'topic', 'topicId'],
  values: ['key'],
}

/** All places in which two answers differ. */
export function differences(theirs: unknown, ours: unknown, path = '', name = ''): Difference[] {
  if (momentary.has(name)) return []
  if (chosenByBroker.has(name)) return isThere(theirs) === isThere(ours) ? [] : [{ path, theirs, ours }]
  if (Buffer.isBuffer(theirs) && Buffer.isBuffer(ours)) return theirs.equals(ours) ? [] : [{ path, theirs, ours }]
  if (Array.isArray(theirs) && Array.isArray(ours)) return differencesOfLists(theirs, ours, path, name)
  if (isRecord(theirs) && isRecord(ours)) {
    return Object.keys({ ...theirs, ...ours }).flatMap(key =>
      differences(theirs[key], ours[key], path === '' ? key : `${path}.${key}`, key),
    )
  }
  return Object.is(theirs, ours) ? [] : [{ path, theirs, ours }]
}

function differencesOfLists(
  theirs: readonly unknown[],
  ours: readonly unknown[],
  path: string,
  name: string,
): Difference[] {
  const keys = keysOfLists[name]
  const mine = labelled(ours, keys)
  const found: Difference[] = []
  for (const [key, item] of labelled(theirs, keys)) {
    if (mine.has(key)) found.push(...differences(item, mine.get(key), `${path}[${key}]`, ''))
    else found.push({ path: `${path}[${key}]`, theirs: item, ours: undefined })
    mine.delete(key)
  }
  for (const [key, item] of mine) found.push({ path: `${path}[${key}]`, theirs: undefined, ours: item })
  return found
}

/** The items by what they are found by; equal ones are numbered. */
function labelled(items: readonly unknown[], keys: readonly string[] | undefined): Map<string, unknown> {
  const found = new Map<string, unknown>()
  for (const [index, item] of items.entries()) {
    const parts = keys !== undefined && isRecord(item) ? keys.filter(key => item[key] !== undefined) : undefined
    const name =
      parts === undefined
        ? String(index)
        : parts
            .map(key => label(key, (item as never)[key]))
            .join(' ')
            .trim()
    let unique = name
    for (let count = 2; found.has(unique); count++) unique = `${name} #${count}`
    found.set(unique, item)
  }
  return found
}

function label(key: string, value: unknown): string {
  if (key === 'topicId') return ''
  if (Array.isArray(value))
    return value
      .map(part => JSON.stringify(part))
      .sort()
      .join(' ')
  return String(value)
}

function isThere(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '' && value !== 0 && value !== '0'.repeat(32)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
}
