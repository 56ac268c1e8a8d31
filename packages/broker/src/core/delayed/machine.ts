import assert from 'node:assert/strict'
import type { Reader, Writer } from '@dragoman/wire'
import type { Machine } from '../../cell/machine.ts'
import {
  cancelled,
  checkVersion,
  closed,
  delayedFacts,
  factVersion,
  fired,
  indexed,
  opened,
  readFact,
  savedHead,
  savedPlace,
  waiting,
} from './facts.ts'
import { ScheduleTable } from './schedule-table.ts'
import { VolumeState } from './volume-state.ts'

/** How many messages wait for one exchange. */
export interface PlaceCount {
  readonly namespace: string
  readonly exchange: string
  count: number
}

/**
 * The durable side of what is to be published later: volumes of messages with what has become of these, how many wait for which exchange,
 * and schedules.
 *
 * Invariants: `live` of all volumes together is the sum of the places' counts; a place without messages is not there.
 */
export class DelayedMachine implements Machine {
  readonly volumes = new Map<number, VolumeState>()
  readonly schedules = new ScheduleTable()
  readonly #namespaces = new Map<string, { count: number; readonly places: Map<string, PlaceCount> }>()
  nextVolume = 1
  live = 0

  apply(type: number, payload: Buffer): void {
    switch (type) {
      case delayedFacts.opened: {
        const volume = new VolumeState(readFact(opened, payload))
        this.volumes.set(volume.number, volume)
        this.nextVolume = volume.number + 1
        return
      }
      case delayedFacts.waiting: {
        const { volume, due, namespace, exchange } = readFact(waiting, payload)
        this.#volume(volume).add(due)
        return this.#count(namespace, exchange, 1)
      }
      case delayedFacts.indexed: {
        const { volume, ...run } = readFact(indexed, payload)
        return this.#volume(volume).indexed(run)
      }
      case delayedFacts.fired: {
        const { volume: number, due, offset, gone } = readFact(fired, payload)
        const volume = this.#volume(number)
        volume.firedDue = due
        volume.firedOffset = offset
        for (const { namespace, exchange, count } of gone) {
          volume.live -= count
          this.#count(namespace, exchange, -count)
        }
        return
      }
      case delayedFacts.cancelled: {
        const { volume: number, offset, namespace, exchange } = readFact(cancelled, payload)
        const volume = this.#volume(number)
        volume.cancelled.add(offset)
        volume.live--
        return this.#count(namespace, exchange, -1)
      }
      case delayedFacts.closed:
        this.volumes.delete(readFact(closed, payload).volume)
        return
      default:
        if (this.schedules.apply(type, payload)) return
        throw new Error(`Delayed messages have no facts of type ${type}: this data was written by a newer broker`)
    }
  }

  /** Messages that wait in a namespace, or for one of its exchanges. */
  count(namespace: string, exchange?: string): number {
    const known = this.#namespaces.get(namespace)
    if (exchange === undefined) return known?.count ?? 0
    return known?.places.get(exchange)?.count ?? 0
  }

  /** For which exchanges any wait. */
  *places(namespace?: string): Iterable<Readonly<PlaceCount>> {
    if (namespace !== undefined) return yield* this.#namespaces.get(namespace)?.places.values() ?? []
    for (const { places } of this.#namespaces.values()) yield* places.values()
  }

  #volume(number: number): VolumeState {
    const volume = this.volumes.get(number)
    assert(volume, `there is no volume ${number}`)
    return volume
  }

  #count(namespace: string, exchange: string, by: number): void {
    this.live += by
    let known = this.#namespaces.get(namespace)
    if (!known) this.#namespaces.set(namespace, (known = { count: 0, places: new Map() }))
    known.count += by
    const place = known.places.get(exchange)
    if (place) place.count += by
    else known.places.set(exchange, { namespace, exchange, count: by })
    if (place?.count === 0) known.places.delete(exchange)
    if (known.places.size === 0) this.#namespaces.delete(namespace)
  }

  save(out: Writer): void {
    out.u8(factVersion)
    const places = [...this.places()]
    const { nextVolume, volumes, schedules } = this
    savedHead.write(out, { nextVolume, volumes: volumes.size, places: places.length, schedules: schedules.size })
    for (const volume of volumes.values()) volume.save(out)
    for (const place of places) savedPlace.write(out, place)
    schedules.save(out)
  }

  load(from: Reader): void {
    checkVersion(from.u8())
    const head = savedHead.read(from)
    this.nextVolume = head.nextVolume
    for (let left = head.volumes; left > 0; left--) {
      const volume = VolumeState.load(from)
      this.volumes.set(volume.number, volume)
    }
    for (let left = head.places; left > 0; left--) {
      const { namespace, exchange, count } = savedPlace.read(from)
      this.#count(namespace, exchange, count)
    }
    this.schedules.load(from, head.schedules)
  }
}
