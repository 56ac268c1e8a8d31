import { layerOf, protocolOf } from './layers.ts'
import type { Finding, Tree } from './tree.ts'

/** What every protocol folder holds. A large protocol may split `messages.ts` into a folder. */
const shape = ['README.md', 'index.ts', 'framing.ts', 'session.ts', 'mapping.ts', 'errors.ts', 'driver.ts', 'vectors/']

const folder = 'packages/broker/src/protocols/'

export function checkProtocolShape(tree: Tree): Finding[] {
  const names = new Set(tree.paths.map(file => protocolOf(file)).filter(name => name !== undefined))
  const list = tree.text(`${folder}index.ts`) ?? ''
  const findings: Finding[] = []
  for (const name of names) {
    const base = `${folder}${name}/`
    const has = (entry: string): boolean => tree.paths.some(file => file.startsWith(base + entry))
    const missing = shape.filter(entry => !has(entry))
    if (!has('messages.ts') && !has('messages/')) missing.push('messages.ts')
    for (const entry of missing) {
      findings.push({
        file: base,
        line: 1,
        message: `${entry} is missing: every protocol folder has the same files (CONTRIBUTING.md, "Add a protocol").`,
      })
    }
    if (!list.includes(`./${name}/index.ts`)) {
      findings.push({
        file: `${folder}index.ts`,
        line: 1,
        message: `Protocol ${name} is not in the list: add its line.`,
      })
    }
  }
  return findings
}

/** Words that belong to one protocol: each pattern, and the folder that may say it; further ones where it is part of what goes over the wire. */
const words: readonly [RegExp, ...string[]][] = [
  [/amqp/i, 'amqp'],
  [/rabbit/i, 'amqp'],
  [/mqtt/i, 'mqtt'],
  [/kafka/i, 'kafka'],
  [/stomp/i, 'stomp'],
  [/redis(?!t|c|p)/i, 'resp'],
  [/(?<![A-Za-z])(resp|RESP)(?![a-z])/, 'resp'],
  [/beanstalk/i, 'beanstalk'],
  [/rocketmq/i, 'rocketmq'],
  [/openwire/i, 'openwire'],
  [/activemq/i, 'openwire', 'stomp'],
  [/(?<![A-Za-z])(jms|JMS)(?![a-z])/, 'openwire', 'stomp'],
  [/zmtp/i, 'zmtp'],
  [/zeromq/i, 'zmtp'],
  [/xmpp/i, 'xmpp'],
]

const neutralLayers = new Set(['wire', 'options', 'runtime', 'storage', 'cell', 'core', 'transport'])

/** No protocol's name in what all protocols share, nor in another protocol's folder; comments count. READMEs may compare. */
export function checkProtocolNames(tree: Tree): Finding[] {
  const findings: Finding[] = []
  for (const file of tree.paths) {
    const layer = layerOf(file)
    const owner = protocolOf(file)
    if (!file.endsWith('.ts') || layer === undefined) continue
    if (!neutralLayers.has(layer) && owner === undefined) continue
    for (const [index, line] of (tree.text(file) ?? '').split('\n').entries()) {
      for (const [pattern, ...names] of words) {
        const [name] = names
        if ((owner !== undefined && names.includes(owner)) || file.startsWith(`packages/wire/src/${name}/`)) continue
        const found = pattern.exec(line)?.[0]
        if (found === undefined) continue
        const place = owner === undefined ? layer : `protocol ${owner}`
        findings.push({
          file,
          line: index + 1,
          message: `Cannot say "${found}" in ${place}: say it in our own words (docs/glossary.md) or move it to protocols/${name}/.`,
        })
      }
    }
  }
  return findings
}
