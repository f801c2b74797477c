/**
 * What SERVICES tells: each service's figures, and its instances if they are asked for.
 *
 * Thread: the lane's. Bounded by what a reply may hold: what does not fit is left out, and the reply says so.
 */
import { pack } from '../../protocol/codec.ts';
import type { Instance } from './instance.ts';
import type { Service } from './service.ts';

export interface ServiceReport {
  readonly services: readonly object[];
  /** Something did not fit. */
  readonly truncated: boolean;
}

export function reportServices(services: readonly Service[], withInstances: boolean, bytesMax: number): ServiceReport {
  const told: object[] = [];
  let bytesLeft = bytesMax;
  for (const service of services) {
    const facts = serviceFacts(service);
    bytesLeft -= pack(facts).length;
    if (bytesLeft < 0) return { services: told, truncated: true };
    if (!withInstances) {
      told.push(facts);
      continue;
    }
    const list: object[] = [];
    told.push({ ...facts, list });
    for (const instance of service.instances) {
      const inner = instanceFacts(instance);
      bytesLeft -= pack(inner).length;
      if (bytesLeft < 0) return { services: told, truncated: true };
      list.push(inner);
    }
  }
  return { services: told, truncated: false };
}

function serviceFacts(service: Service): object {
  const health = { ok: 0, degraded: 0, failing: 0 };
  for (const instance of service.instances) health[instance.health]++;
  return {
    service: service.name,
    instances: service.instances.size,
    methods: service.methodNames,
    versions: service.versions,
    ...health,
    inFlight: service.inFlight,
    waiting: service.waiting.size,
    calls: service.calls,
    errors: service.errors,
    p50Ms: service.latency.percentileMs(50),
    p99Ms: service.latency.percentileMs(99),
  };
}

function instanceFacts(instance: Instance): object {
  const { version, methods, capacity, weight, metadata } = instance.registration;
  return {
    instance: instance.id,
    client: instance.peer.name,
    version,
    methods,
    capacity,
    weight,
    metadata,
    health: instance.health,
    load: instance.load,
    inFlight: instance.inFlight,
    calls: instance.calls,
    errors: instance.errors,
    p50Ms: instance.latency.percentileMs(50),
    p99Ms: instance.latency.percentileMs(99),
    breaker: instance.breaker?.state ?? 'closed',
    ejected: instance.isEjected,
    sinceMs: BigInt(Math.round(instance.sinceMs)), // An integer on the wire, not a float.
  };
}
