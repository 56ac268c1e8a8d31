import type { RecordView } from '../../core/cursor/record-view.ts'
import type { HeaderValue } from '../../core/message.ts'
import type { Form, Passing } from '../../core/routing/sink.ts'
import { Selector } from '../../core/selector/selector.ts'
import { perBroker } from '../per-broker.ts'
import type { Connection } from './connection.ts'
import { linesFor, passingLines } from './delivery.ts'
import { escaped, headersOf } from './headers.ts'

/** What may stand before a selector, as clients of ActiveMQ write it, and which option it switches. */
const prefixes: Readonly<Record<string, readonly ['convertsTexts' | 'hasHyphens', boolean]>> = {
  'convert_string_expressions:': ['convertsTexts', true],
  'no_convert_string_expressions:': ['convertsTexts', false],
  'hyphenated_props:': ['hasHyphens', true],
  'no_hyphenated_props:': ['hasHyphens', false],
}

/**
 * The condition of a subscription; undefined: it wants all. All headers are texts, so they are read as numbers where they are compared with one. Throws
 * `BrokerError`.
 */
export function selectorOf(text: string | undefined): Selector | undefined {
  const options = { convertsTexts: true, hasHyphens: false }
  let rest = text?.trim() ?? ''
  for (let found: string | undefined = ''; found !== undefined; rest = rest.slice(found?.length ?? 0)) {
    found = Object.keys(prefixes).find(prefix => rest.startsWith(prefix))
    const option = prefixes[found ?? '']
    if (option) options[option[0]] = option[1]
  }
  return rest === '' ? undefined : new Selector(rest, options)
}

/** Whether a stored message is wanted. */
export function wants(
  { broker, context }: Connection,
  selector: Selector,
  destination: string,
): (record: RecordView) => boolean {
  const reader = { broker, context, version: '1.2' } as const
  return record => selector.matches(propertiesOf(linesFor(reader, record, destination).toString()))
}

/** Of a message on its way, the lines that it would be delivered with. */
class LinesForm implements Form<string> {
  readonly #broker: Connection['broker']

  constructor(broker: Connection['broker']) {
    this.#broker = broker
  }

  make(passing: Passing): string {
    return passingLines(this.#broker, passing, '1.2').toString()
  }
}

const linesForm = perBroker(broker => new LinesForm(broker))

export const wantsPassing = ({ broker }: Connection, selector: Selector, passing: Passing): boolean =>
  selector.matches(propertiesOf(passing.as(linesForm(broker))))

/** The names that selectors have for what messages carry besides their properties. */
const standard: Readonly<Record<string, (header: (name: string) => string | undefined) => HeaderValue | undefined>> = {
  JMSPriority: header => whole(header('priority')) ?? 4n,
  JMSTimestamp: header => whole(header('timestamp')),
  JMSExpiration: header => whole(header('expires')) ?? 0n,
  JMSCorrelationID: header => header('correlation-id'),
  JMSMessageID: header => header('original-message-id'),
  JMSReplyTo: header => header('reply-to'),
  JMSDestination: header => header('destination'),
  JMSType: header => header('type'),
  JMSDeliveryMode: header => (header('persistent') === 'true' ? 'PERSISTENT' : 'NON_PERSISTENT'),
}

const whole = (text: string | undefined): bigint | undefined =>
  text !== undefined && /^\d{1,18}$/.test(text) ? BigInt(text) : undefined

/** Finds headers among lines of version 1.2 by their names: most messages are asked for one or two. */
function propertiesOf(lines: string): (name: string) => HeaderValue | undefined {
  const header = (name: string): string | undefined => {
    const written = `${escaped(name)}:`
    const at = lines.startsWith(written) ? 0 : lines.indexOf(`\n${written}`) + 1
    if (at === 0 && !lines.startsWith(written)) return undefined
    const end = lines.indexOf('\n', at)
    return headersOf(lines.slice(at, end + 1)).get(written.slice(0, -1))
  }
  return name => (Object.hasOwn(standard, name) ? standard[name]?.(header) : header(name))
}
