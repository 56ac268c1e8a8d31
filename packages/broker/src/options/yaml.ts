import { OptionError } from './option.ts'

/** Parses a configuration file. The parser is loaded only when there is one. Throws `OptionError` with the place. */
export async function parseYaml(text: string, path: string): Promise<unknown> {
  const { parseDocument, visit } = await import('yaml')
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: true })
  const problem = document.errors[0]
  if (problem) throw new OptionError(`${path}: ${problem.message}`)
  // A few lines of aliases can stand for gigabytes, and an option needs none.
  visit(document, {
    Alias: () => {
      throw new OptionError(`${path}: Cannot take an alias (*name): it takes plain values`)
    },
  })
  return document.toJS()
}
