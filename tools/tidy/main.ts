// Rules of this repository that no general tool knows. `node tools/tidy/main.ts [ROOT]` prints what breaks them; exit 1 if anything does.
import path from 'node:path'
import { checkBans } from './bans.ts'
import { checkLayers } from './layers.ts'
import { checkLinks } from './links.ts'
import { checkProtocolNames, checkProtocolShape } from './protocols.ts'
import { checkSizes } from './sizes.ts'
import { readTree, type Rule } from './tree.ts'
import { checkMarkers } from './words.ts'

const rules: Rule[] = [
  checkLayers,
  checkBans,
  checkProtocolShape,
  checkProtocolNames,
  checkSizes,
  checkMarkers,
  checkLinks,
]

const tree = readTree(process.argv[2] ?? path.join(import.meta.dirname, '..', '..'))
const findings = rules.flatMap(rule => rule(tree))
for (const { file, line, message } of findings) console.log(`${file}:${line}: ${message}`)
console.log(`${tree.paths.length} files, ${findings.length} findings`)
process.exitCode = findings.length > 0 ? 1 : 0
