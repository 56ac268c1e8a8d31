import { environmentOf, flagOf, keyOf, sections, type Option } from './option.ts'
import { optionTable, type ListenerInfo } from './table.ts'

/** The reference page of all options. */
export function optionsMarkdown(listeners: readonly ListenerInfo[]): string {
  const table = optionTable(listeners)
  const lines = [
    '# Configuration',
    '',
    'An option is given as a flag of `dragoman serve`, as an environment variable, or as a key in the YAML file that',
    '`--config FILE` names. A flag wins over the environment, the environment over the file, and the file over the',
    'default.',
    'An unknown option or a value that it does not take stops the start with a message that names both.',
    '',
    'Sizes are bytes (`1048576`) or carry a unit (`64KiB`, `1GiB`); times are milliseconds (`500`) or carry a unit',
    '(`30s`, `5m`, `7d`).',
  ]
  for (const [section, title] of Object.entries(sections)) {
    lines.push('', `## ${title}`, '', '| flag | environment | file | takes | default | |', '|---|---|---|---|---|---|')
    for (const [name, row] of table) if (row.section === section) lines.push(markdownRow(name, row))
  }
  return `${lines.join('\n')}\n`
}

function markdownRow(name: string, { kind, default: fallback, help }: Option<unknown>): string {
  const shown = kind.show(fallback)
  const cells = [
    `\`${flagOf(name)}\``,
    `\`${environmentOf(name)}\``,
    name === 'config' ? '' : `\`${keyOf(name)}\``,
    kind.takes,
    shown === '' ? '' : `\`${shown}\``,
    help,
  ]
  return `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
