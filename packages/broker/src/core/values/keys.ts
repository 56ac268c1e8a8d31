/** Keys are any bytes, a character for each; names are text. They are the same where all are ASCII. */
export function nameOfKey(key: string): string {
  for (let at = 0; at < key.length; at++) {
    if (key.charCodeAt(at) > 0x7f) return Buffer.from(key, 'latin1').toString()
  }
  return key
}

export function keyOfName(name: string): string {
  for (let at = 0; at < name.length; at++) {
    if (name.charCodeAt(at) > 0x7f) return Buffer.from(name).toString('latin1')
  }
  return name
}

/** Whether there is a name for the key: its bytes are UTF-8. */
export const hasName = (key: string): boolean => keyOfName(nameOfKey(key)) === key
