/**
 * Balancer: which of the instances that can take a call gets it.
 *
 * Thread: the lane's. Deterministic: chance comes from the lane's seed, and where instances are equal the one that was chosen longest ago goes first.
 */
import { hashBytes } from '../../base/hash.ts';
import type { Prng } from '../../base/prng.ts';
import { satisfies } from '../../protocol/semver.ts';
import type { CallOptions } from '../../protocol/service-options.ts';
import type { Call } from './call.ts';
import type { Instance } from './instance.ts';
import type { BalanceStrategy } from './service-config.ts';

const TEXT = new TextEncoder();

export class Balancer {
  readonly #prng: Prng;
  /** Scratch: those that can take the call, by health. */
  readonly #ok: Instance[] = [];
  readonly #degraded: Instance[] = [];

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  /** Hot. Null: none of them can take it now. */
  choose(pool: readonly Instance[], call: Call): Instance | null {
    const ok = this.#ok;
    const degraded = this.#degraded;
    ok.length = degraded.length = 0;
    for (let index = 0; index < pool.length; index++) {
      const instance = pool[index] as Instance;
      if (instance.canTake && suits(instance, call.options)) (instance.health === 'ok' ? ok : degraded).push(instance);
    }
    const eligible = ok.length > 0 ? ok : degraded;
    return eligible.length === 0 ? null : this.#pick(eligible, call);
  }

  #pick(eligible: readonly Instance[], call: Call): Instance {
    const { hashKey } = call.options;
    if (hashKey !== null) return rendezvous(eligible, hashText(hashKey));
    const strategy: BalanceStrategy = call.service.config.balance;
    switch (strategy) {
      case 'consistentHash': // Without a key there is nothing to hash.
      case 'leastInFlight':
        return leastInFlight(eligible);
      case 'roundRobin':
        return leastRecent(eligible);
      case 'random':
        return this.#prng.pick(eligible);
      case 'weighted':
        return smoothWeighted(eligible);
      case 'sticky':
        return rendezvous(eligible, call.caller.nameHash);
      default:
        return strategy satisfies never;
    }
  }
}

/** Does the caller want such an instance? */
export function suits({ registration }: Instance, { version, select }: CallOptions): boolean {
  if (version !== null && !satisfies(registration.parsedVersion, version)) return false;
  if (select === null) return true;
  const { metadata } = registration;
  return select.every(([key, value]) => Object.hasOwn(metadata, key) && metadata[key] === value);
}

function leastInFlight(eligible: readonly Instance[]): Instance {
  let best = eligible[0] as Instance;
  for (let index = 1; index < eligible.length; index++) {
    const instance = eligible[index] as Instance;
    const difference = instance.inFlight - best.inFlight;
    if (difference < 0 || (difference === 0 && instance.chosenAt < best.chosenAt)) best = instance;
  }
  return best;
}

/** In turn, however the list changes. */
function leastRecent(eligible: readonly Instance[]): Instance {
  let best = eligible[0] as Instance;
  for (let index = 1; index < eligible.length; index++) {
    const instance = eligible[index] as Instance;
    if (instance.chosenAt < best.chosenAt) best = instance;
  }
  return best;
}

/** Smooth weighted round robin: of 5 and 1 the lighter one comes once in six, and never twice the heavier ones behind each other more than need be. */
function smoothWeighted(eligible: readonly Instance[]): Instance {
  let best = eligible[0] as Instance;
  let weights = 0;
  for (let index = 0; index < eligible.length; index++) {
    const instance = eligible[index] as Instance;
    const { weight } = instance.registration;
    weights += weight;
    instance.credit += weight;
    if (instance.credit > best.credit) best = instance;
  }
  best.credit -= weights;
  return best;
}

/** The key's highest bidder: when an instance leaves, only its own keys move. */
function rendezvous(eligible: readonly Instance[], keyHash: number): Instance {
  let best = eligible[0] as Instance;
  let bestScore = -1;
  for (let index = 0; index < eligible.length; index++) {
    const instance = eligible[index] as Instance;
    const score = mix(keyHash, instance.idHash);
    if (score < bestScore || (score === bestScore && instance.number > best.number)) continue;
    best = instance;
    bestScore = score;
  }
  return best;
}

function mix(keyHash: number, idHash: number): number {
  let hash = Math.imul(keyHash, 0x9e3779b1) ^ idHash;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hashText(text: string): number {
  const bytes = TEXT.encode(text);
  return hashBytes(bytes, 0, bytes.length);
}
