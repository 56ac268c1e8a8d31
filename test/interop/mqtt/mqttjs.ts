import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync, type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'
import { repository } from '../../support/dragoman.ts'
import { fresh, runChecks, until, type Check, type Client, type Place } from '../suite.ts'

export const mqttjs: Client = {
  name: 'MQTT.js',
  pinned: '5.16.0',
  from: 'npm',
  missing: () => undefined,
  version() {
    const file = join(repository, 'node_modules', 'mqtt', 'package.json')
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
  },
  run: (place, report) => runChecks(checks(place), report),
}

type Version = 3 | 4 | 5

interface Heard {
  readonly topic: string
  readonly text: string
  readonly packet: IPublishPacket
}

type Use = (dial: (options?: IClientOptions, scheme?: string) => Promise<MqttClient>, version: Version) => Promise<void>

const idOf: Readonly<Record<Version, string>> = { 3: 'MQIsdp', 4: 'MQTT', 5: 'MQTT' }

function checks({ address }: Place): Check[] {
  const check = (name: string, use: Use, version: Version = 5): Check => ({
    capability: `test: ${name}`,
    async run() {
      const clients: MqttClient[] = []
      const dial = async (options: IClientOptions = {}, scheme = 'mqtt'): Promise<MqttClient> => {
        const given = { protocolVersion: version, protocolId: idOf[version], reconnectPeriod: 0, ...options }
        const client = await connectAsync(`${scheme}://${address}`, given as IClientOptions)
        clients.push(client)
        return client
      }
      try {
        await use(dial, version)
      } finally {
        for (const client of clients) await client.endAsync(true)
      }
    },
  })
  const versions: [Version, string][] = [
    [3, '3.1'],
    [4, '3.1.1'],
    [5, '5.0'],
  ]
  return [
    ...versions.flatMap(([version, name]) => [
      check(`publish and subscribe, version ${name}`, exchange, version),
      check(`a session that is come back to, version ${name}`, comeBack, version),
      check(`what is retained, and a will, version ${name}`, retained, version),
    ]),
    check('over WebSocket', (dial, version) => exchange(options => dial(options, 'ws'), version)),
    check('properties, and an answer', request),
    check('shared subscriptions', shared),
    check('a megabyte', large),
    check('topic aliases', aliases),
  ]
}

function listen(client: MqttClient): Heard[] {
  const heard: Heard[] = []
  client.on('message', (topic, payload, packet) => heard.push({ topic, text: payload.toString(), packet }))
  return heard
}

const exchange: Use = async dial => {
  const [publisher, subscriber] = [await dial(), await dial()]
  const topic = fresh('exchange')
  const heard = listen(subscriber)
  await subscriber.subscribeAsync(`${topic}/+`, { qos: 2 })
  for (const qos of [0, 1, 2] as const) await publisher.publishAsync(`${topic}/x`, `${qos} ä€`, { qos })
  await until(() => heard.length === 3)
  assert.deepEqual(
    heard.map(({ text, packet }) => [text, packet.qos]),
    [0, 1, 2].map(qos => [`${qos} ä€`, qos]),
  )
  await subscriber.unsubscribeAsync(`${topic}/+`)
  await publisher.publishAsync(`${topic}/x`, 'nobody', { qos: 1 })
  assert.equal(heard.length, 3)
}

const comeBack: Use = async (dial, version) => {
  const options: IClientOptions = { clientId: fresh('c'), clean: false }
  if (version === 5) options.properties = { sessionExpiryInterval: 60 }
  const topic = fresh('back')
  const first = await dial(options)
  await first.subscribeAsync(topic, { qos: 1 })
  await first.endAsync()
  const publisher = await dial()
  for (let number = 0; number < 10; number++) await publisher.publishAsync(topic, `${number}`, { qos: 1 })
  const heard: Heard[] = []
  const again = await dial({ ...options, manualConnect: false })
  again.on('message', (_, payload, packet) => heard.push({ topic, text: payload.toString(), packet }))
  await publisher.publishAsync(topic, 'last', { qos: 1 })
  await until(() => heard.some(({ text }) => text === 'last'))
  await again.endAsync()
  await (await dial({ ...options, clean: true, properties: {} })).endAsync()
}

const retained: Use = async dial => {
  const topic = fresh('retained')
  const publisher = await dial()
  await publisher.publishAsync(`${topic}/r`, 'kept', { qos: 1, retain: true })
  const watcher = await dial()
  const heard = listen(watcher)
  await watcher.subscribeAsync(`${topic}/#`, { qos: 1 })
  await until(() => heard.length === 1)
  assert.deepEqual([heard[0]?.text, heard[0]?.packet.retain], ['kept', true])
  const dying = await dial({ will: { topic: `${topic}/w`, payload: Buffer.from('gone'), qos: 1, retain: false } })
  dying.stream.destroy()
  await until(() => heard.length === 2)
  assert.equal(heard[1]?.text, 'gone')
  await publisher.publishAsync(`${topic}/r`, '', { retain: true, qos: 1 })
}

const request: Use = async dial => {
  const [asker, answerer] = [await dial(), await dial()]
  const [question, answers] = [fresh('question'), fresh('answers')]
  answerer.on('message', (_, payload, { properties }) => {
    void answerer.publishAsync(properties?.responseTopic ?? '', `re: ${payload.toString()}`, {
      qos: 1,
      properties: {
        correlationData: properties?.correlationData ?? Buffer.alloc(0),
        userProperties: { a: ['1', '2'] },
      },
    })
  })
  await answerer.subscribeAsync(question, { qos: 1, properties: { subscriptionIdentifier: 7 } })
  const heard = listen(asker)
  await asker.subscribeAsync(answers, { qos: 1 })
  const correlationData = Buffer.from([0, 1, 255])
  await asker.publishAsync(question, 'why', { qos: 1, properties: { responseTopic: answers, correlationData } })
  await until(() => heard.length === 1)
  const [answer] = heard
  assert.equal(answer?.text, 're: why')
  assert.deepEqual(answer.packet.properties?.correlationData, correlationData)
  assert.deepEqual({ ...answer.packet.properties?.userProperties }, { a: ['1', '2'] })
}

const shared: Use = async dial => {
  const topic = fresh('shared')
  const members = [await dial(), await dial()]
  const heard = members.map(listen)
  for (const member of members) await member.subscribeAsync(`$share/g/${topic}`, { qos: 1 })
  const publisher = await dial()
  for (let number = 0; number < 20; number++) await publisher.publishAsync(topic, `${number}`, { qos: 1 })
  await until(() => heard.flat().length === 20)
  assert.equal(new Set(heard.flat().map(({ text }) => text)).size, 20)
  assert(heard.every(({ length }) => length > 0))
}

const large: Use = async dial => {
  const topic = fresh('large')
  const client = await dial()
  const heard = listen(client)
  await client.subscribeAsync(topic, { qos: 2 })
  const text = 'x'.repeat(1024 * 1024)
  await client.publishAsync(topic, text, { qos: 2 })
  await until(() => heard.length === 1)
  assert(heard[0]?.text === text)
}

const aliases: Use = async dial => {
  const topic = fresh('alias')
  const subscriber = await dial({ properties: { topicAliasMaximum: 5 } })
  const heard = listen(subscriber)
  await subscriber.subscribeAsync(topic)
  const publisher = await dial({ autoUseTopicAlias: true, autoAssignTopicAlias: true })
  for (let number = 0; number < 5; number++) await publisher.publishAsync(topic, `${number}`)
  await until(() => heard.length === 5)
  assert(heard.every(each => each.topic === topic))
}
