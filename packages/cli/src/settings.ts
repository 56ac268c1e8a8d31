import type { Kind } from '@dragoman/broker/options'

/** `NAME=VALUE`; the value may hold `=`. */
export const assignment: Kind<readonly [name: string, value: string]> = {
  placeholder: 'NAME=VALUE',
  takes: 'NAME=VALUE',
  parse: text => {
    const equals = text.indexOf('=')
    return equals <= 0 ? undefined : [text.slice(0, equals), text.slice(equals + 1)]
  },
  show: ([name, value]) => `${name}=${value}`,
}

/** Text, also none: the name of the default exchange is empty, for instance. */
export const anyText = (placeholder: string, takes: string): Kind<string> => ({
  placeholder,
  takes,
  parse: text => text,
  show: text => (text === '' ? '""' : text),
})
