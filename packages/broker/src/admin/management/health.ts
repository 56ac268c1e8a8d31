import { X509Certificate } from 'node:crypto'
import { jsonAnswer } from '../http/message.ts'
import type { Call } from './call.ts'
import { badRequest, notFound } from './errors.ts'
import { Result, type Handler, type Route } from './route.ts'
import { listenersOf } from './listeners.ts'
import { nodeName } from './state.ts'

const ok: Handler = () => ({ status: 'ok' })
const check = (path: string, handler: Handler): Route => ({ path, need: 'management', on: { GET: handler } })

/**
 * Health for who runs the broker (`/health`, without a user), and the checks that clients of this API know. What is about several nodes is
 * always well: there is one.
 */
export const healthRoutes: readonly Route[] = [
  { path: '/health', need: 'nothing', on: { GET: ready } },
  { path: '/health/live', need: 'nothing', on: { GET: () => ({ status: 'ok' }) } },
  { path: '/health/ready', need: 'nothing', on: { GET: ready } },
  check('/api/health/checks/alarms', alarms),
  check('/api/health/checks/local-alarms', alarms),
  check('/api/health/checks/metadata-store/initialized', ok),
  check('/api/health/checks/metadata-store/initialized/with-data', ok),
  check('/api/health/checks/node-is-mirror-sync-critical', ok),
  check('/api/health/checks/node-is-quorum-critical', ok),
  check('/api/health/checks/is-in-service', ok),
  check('/api/health/checks/ready-to-serve-clients', alarms),
  check('/api/health/checks/virtual-hosts', ok),
  check('/api/health/checks/reached-target-cluster-size', ok),
  check('/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts', ok),
  check('/api/health/checks/quorum-queues-without-elected-leaders/vhost/:vhost', call => (call.vhost, ok(call))),
  check('/api/health/checks/port-listener/:port', portListener),
  check('/api/health/checks/protocol-listener/:protocols', protocolListener),
  check('/api/health/checks/certificate-expiration/:within/:unit', certificates),
  check('/api/aliveness-test/:vhost', call => (call.vhost, ok(call))),
  check('/api/healthchecks/node', ok),
  check('/api/healthchecks/node/:node', call => {
    if (call.param('node') !== nodeName) throw notFound()
    return ok(call)
  }),
]

const dayMs = 86_400_000
const units: Readonly<Record<string, number>> = { days: 1, weeks: 7, months: 28, years: 365 }

/** Well, unless a certificate that listeners show is about to end. */
function certificates(call: Call): unknown {
  const { core, context } = call
  const unit = units[call.param('unit').replace(/s?$/, 's')]
  const within = Number(call.param('within'))
  if (unit === undefined || !Number.isSafeInteger(within) || within < 1) {
    throw badRequest('it takes a number and one of days, weeks, months and years')
  }
  const endMs = context.clock.nowMs() + within * unit * dayMs
  const shown = core.certificate()?.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const ending = shown
    .map(pem => new X509Certificate(pem))
    .filter(({ validTo }) => new Date(validTo).getTime() <= endMs)
    .map(({ subject, validTo }) => ({ subject: subject.replaceAll('\n', ','), expires_on: validTo }))
  if (ending.length === 0) return { status: 'ok' }
  return new Result(jsonAnswer(503, { status: 'failed', reason: 'Certificates expiring', expired: ending }))
}

const missing = { space: 'the disk is full', descriptors: 'no file descriptors are left (ulimit -n)' }

/** Well, unless nothing can be written any more. */
function ready({ core }: Call): unknown {
  const { shortage } = core.volume
  if (shortage === undefined) return { status: 'ok' }
  return new Result(jsonAnswer(503, { status: 'failed', reason: `${missing[shortage]}: nothing can be written` }))
}

function alarms({ core }: Call): unknown {
  if (!isDiskFull(core)) return { status: 'ok' }
  const found = [{ node: nodeName, resource: 'disk' }]
  return new Result(jsonAnswer(503, { status: 'failed', reason: 'There are alarms in effect', alarms: found }))
}

/** Whether nothing can be written any more. */
export const isDiskFull = ({ volume }: Call['core']): boolean => volume.isFull

function portListener(call: Call): unknown {
  const ports = listenersOf(call).map(({ port }) => port)
  const port = Number(call.param('port'))
  if (!Number.isInteger(port)) throw badRequest('Invalid port')
  if (ports.includes(port)) return { status: 'ok', port }
  return new Result(jsonAnswer(503, { status: 'failed', reason: 'No active listener', missing: port, ports }))
}

/** Other names of protocols. */
const aliases: Readonly<Record<string, string>> = {
  ...{ amqp091: 'amqp', 'amqp0.9.1': 'amqp', 'amqp0-9-1': 'amqp', 'amqp 0-9-1': 'amqp' },
  ...{ amqps: 'amqp/ssl', amqp091s: 'amqp/ssl', management: 'http' },
}

/** One name, or several with commas between them: one of them will do. */
function protocolListener(call: Call): unknown {
  const wanted = call.param('protocols').split(',')
  const protocols = [...new Set(listenersOf(call).map(({ protocol }) => protocol))]
  const found = wanted.find(name => {
    const given = name.toLowerCase()
    return protocols.includes(aliases[given] ?? given)
  })
  if (found !== undefined) return { status: 'ok', protocol: found }
  const missing = wanted.length === 1 ? wanted[0] : wanted
  return new Result(jsonAnswer(503, { status: 'failed', reason: 'No active listener', missing, protocols }))
}
