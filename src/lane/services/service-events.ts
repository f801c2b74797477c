/**
 * What a service's topic, `$service.<name>`, is told: a MessagePack map whose order of keys is fixed.
 *
 * Thread: the lane's.
 */
import { pack } from '../../protocol/codec.ts';
import { SERVICE_TOPIC_PREFIX } from '../../protocol/placement.ts';
import type { LaneContext, OwnTopics } from '../lane-context.ts';
import type { Instance } from './instance.ts';

export type ServiceEventKind =
  | 'registered'
  | 'updated'
  | 'deregistered'
  | 'lost'
  | 'expired'
  | 'health'
  | 'breaker'
  | 'ejected'
  | 'restored';

export class ServiceEvents {
  readonly #lane: LaneContext;
  readonly #topics: OwnTopics;

  constructor(lane: LaneContext, topics: OwnTopics) {
    this.#lane = lane;
    this.#topics = topics;
  }

  publish(kind: ServiceEventKind, instance: Instance, facts: object = {}): void {
    // BigInt: an integer on the wire, not a float.
    const event = { kind, instance: instance.id, atMs: BigInt(Math.round(this.#lane.nowMs)), ...facts };
    this.#topics.publishOwn(SERVICE_TOPIC_PREFIX + instance.service.name, pack(event));
  }
}
