import { cell, type Item } from './management.ts'
import { formatTable, print, printJson } from './table.ts'

/** Columns of a list: their titles, and the fields that they show. */
export type Columns = Readonly<Record<string, string | ((item: Item) => unknown)>>

/** Prints items as a table, nothing when there are none, or as JSON. */
export function printItems(items: readonly Item[], columns: Columns, asJson: boolean): void {
  if (asJson) return printJson(items)
  if (items.length === 0) return
  const fields = Object.values(columns)
  const rows = items.map(item => fields.map(field => cell(typeof field === 'string' ? item[field] : field(item))))
  print(formatTable(Object.keys(columns), rows))
}

/** Prints one item as lines of a name and a value; empty ones are left out. */
export function printItem(item: Item, columns: Columns, asJson: boolean): void {
  if (asJson) return printJson(item)
  const shown = Object.entries(columns).map(([title, field]): [string, string | number] => {
    return [title, cell(typeof field === 'string' ? item[field] : field(item))]
  })
  print(
    formatTable(
      ['', ''],
      shown.filter(([, value]) => value !== '').map(([title, value]) => [title, String(value)]),
    ).trimStart(),
  )
}
