import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** What nobody refers to is gone afterwards: memory that is measured then is memory in use. */
export function collectGarbage(): void {
  for (let count = 0; count < 3; count++) collect()
}
