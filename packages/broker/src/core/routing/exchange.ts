import { BrokerError } from '../errors.ts'
import { checkHints, hintPrefix } from '../hints.ts'
import { checkExchangeName, quote } from '../names.ts'

/** How an exchange chooses among its bindings. Written to disk as the index: never reorder. */
export const exchangeKinds = [
  /** Those with the message's own key. */
  'direct',
  /** All. */
  'fanout',
  /** Those whose pattern matches the key: words between dots, `*` for one word, `#` for any number. */
  'topic',
  /** Those whose arguments match the headers. */
  'headers',
  /** One, the same for equal keys (or equal values of one header). A binding's key is its weight. */
  'hash',
  /** As its inner kind says, but messages with a delay wait before. */
  'delayed',
] as const
export type ExchangeKind = (typeof exchangeKinds)[number]
/** Those that find bindings. */
type RoutingKind = Exclude<ExchangeKind, 'delayed'>

/** What is kept of an exchange. Immutable. */
export interface ExchangeDefinition {
  readonly namespace: string
  readonly name: string
  readonly kind: ExchangeKind
  /** One that is not is gone after a restart, and so are bindings from it and to it. */
  readonly isDurable: boolean
  /** It goes with the last binding from it. */
  readonly autoDelete: boolean
  /** Only other exchanges may publish to it. */
  readonly internal: boolean
  /** Only what was set: `exchangeSettings`. */
  readonly config: ReadonlyMap<string, string>
}

/** How an exchange is to be. What is left out: direct, durable, neither auto-delete nor internal, no settings. */
export type ExchangeOptions = Partial<Omit<ExchangeDefinition, 'namespace' | 'name'>>

/** Names are written to disk: never rename. */
export const exchangeSettings = {
  /** Gets what no binding matches. It need not exist. */
  alternate: 'alternate.exchange',
  /** The header whose value is hashed instead of the key, by an exchange of the kind `hash`. */
  hashHeader: 'hash.header',
  /** By which kind an exchange of the kind `delayed` routes. It must be there. */
  innerKind: 'inner.kind',
} as const

/** Where those meet who publish and subscribe by subjects: words between dots. */
export const subjectExchange = 'amq.topic'

/** Every namespace has these, from the beginning and for ever. The first is the default exchange, which leads to every queue and topic by its name. */
export const predeclared: ReadonlyMap<string, ExchangeKind> = new Map([
  ['', 'direct'],
  ['amq.direct', 'direct'],
  ['amq.fanout', 'fanout'],
  [subjectExchange, 'topic'],
  ['amq.headers', 'headers'],
  ['amq.match', 'headers'],
])

export const defaultExchange = ''

/** The definition that is asked for. Throws `BrokerError` when there cannot be such an exchange. */
export function exchangeOf(namespace: string, name: string, options: ExchangeOptions): ExchangeDefinition {
  const { kind = 'direct', isDurable = true, autoDelete = false, internal = false, config = new Map() } = options
  if (!predeclared.has(name)) checkExchangeName(name)
  const inner = kind === 'delayed' ? innerKindOf(config) : kind
  checkHints(config)
  for (const [setting, value] of config) {
    if (setting.startsWith(hintPrefix) || (setting === exchangeSettings.innerKind && kind === 'delayed')) continue
    if (setting === exchangeSettings.alternate) {
      if (value !== defaultExchange) checkExchangeName(value)
    } else if (setting !== exchangeSettings.hashHeader || inner !== 'hash') {
      throw new BrokerError('config-invalid', `exchanges of the kind ${kind} have no setting ${quote(setting)}`)
    } else if (value === '' || Buffer.byteLength(value) > headerNameBytesMax) {
      throw new BrokerError('config-invalid', `${setting} takes the name of a header, not ${quote(value)}`)
    }
  }
  return { namespace, name, kind, isDurable, autoDelete, internal, config }
}

const headerNameBytesMax = 255

/** By which kind an exchange of the kind `delayed` routes. Throws `BrokerError` `config-invalid` when its settings name none. */
function innerKindOf(config: ReadonlyMap<string, string>): RoutingKind {
  const word = config.get(exchangeSettings.innerKind)
  const kind = exchangeKinds.find(each => each === word)
  if (kind !== undefined && kind !== 'delayed') return kind
  const takes = exchangeKinds.filter(each => each !== 'delayed').join(', ')
  const detail = `${exchangeSettings.innerKind} takes one of ${takes}, not ${word === undefined ? 'nothing' : quote(word)}`
  throw new BrokerError('config-invalid', detail)
}

/** The kind by which an exchange finds its bindings. */
export const routesBy = ({ kind, config }: ExchangeDefinition): RoutingKind =>
  kind === 'delayed' ? innerKindOf(config) : kind

/** The first setting in which two exchanges differ, with both values; undefined when there is none. */
export function exchangeDifference(
  a: ExchangeDefinition,
  b: ExchangeDefinition,
): { name: string; values: [unknown, unknown] } | undefined {
  const rows: [string, (of: ExchangeDefinition) => unknown][] = [
    ['kind', ({ kind }) => kind],
    ['durable', ({ isDurable }) => isDurable],
    ['auto.delete', ({ autoDelete }) => autoDelete],
    ['internal', ({ internal }) => internal],
    [exchangeSettings.alternate, ({ config }) => config.get(exchangeSettings.alternate)],
    [exchangeSettings.hashHeader, ({ config }) => config.get(exchangeSettings.hashHeader)],
    [exchangeSettings.innerKind, ({ config }) => config.get(exchangeSettings.innerKind)],
  ]
  for (const [name, of] of rows) if (of(a) !== of(b)) return { name, values: [of(a), of(b)] }
  return undefined
}
