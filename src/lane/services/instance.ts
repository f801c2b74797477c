/**
 * One instance of a service: what it registered with, how it does, and what it is working on.
 *
 * Thread: the lane's. Data and what follows from it alone; registration is service-registry.ts, judgement instance-watch.ts, calls call-table.ts.
 */
import { hashBytes } from '../../base/hash.ts';
import { ANY_METHOD, type Health, type Registration } from '../../protocol/service-options.ts';
import type { Timer } from '../timers.ts';
import { Breaker } from './breaker.ts';
import { CallLatency } from './call-latency.ts';
import type { Peer } from './peer.ts';
import type { Service } from './service.ts';

const TEXT = new TextEncoder();

export class Instance {
  /** The front knows it by this number; unique in the lane, over its lives. */
  readonly number: number;
  /** Clients know it by this; unique in the relay. */
  readonly id: string;
  /** For the strategies that hash: an instance keeps its callers while others come and go. */
  readonly idHash: number;
  readonly service: Service;
  readonly peer: Peer;
  readonly sinceMs: number;
  registration: Registration;
  /** False: gone, or draining: what is in flight may still be returned. */
  isRegistered = true;
  health: Health = 'ok';
  load: number | null = null;
  leaseUntilMs = Number.POSITIVE_INFINITY;
  leaseTimer: Timer | null = null;
  readonly breaker: Breaker | null;
  breakerTimer: Timer | null = null;
  /** Not null: ejected. */
  ejectTimer: Timer | null = null;
  /** Doubles the next ejection; falls by one with each interval in which it was no outlier. */
  ejections = 0;
  inFlight = 0;
  calls = 0;
  errors = 0;
  readonly latency = new CallLatency();
  /** Since the service's last look for outliers. */
  intervalCalls = 0;
  intervalErrors = 0;
  readonly intervalLatency = new CallLatency();
  /** Strategy `weighted`: what it is owed. */
  credit = 0;
  /** Number of the service's choice that fell on it last: the least recently chosen goes first. */
  chosenAt = 0;

  constructor(number: number, id: string, service: Service, peer: Peer, registration: Registration, sinceMs: number) {
    this.number = number;
    this.id = id;
    const idBytes = TEXT.encode(id);
    this.idHash = hashBytes(idBytes, 0, idBytes.length);
    this.service = service;
    this.peer = peer;
    this.registration = registration;
    this.sinceMs = sinceMs;
    this.breaker = service.config.breaker === false ? null : new Breaker(service.config.breaker);
  }

  get isEjected(): boolean {
    return this.ejectTimer !== null;
  }

  /** Hot. Room, and nothing that speaks against it. Whether it offers the method is for its service to say. */
  get canTake(): boolean {
    return (
      this.inFlight < this.registration.capacity &&
      this.isRegistered &&
      this.health !== 'failing' &&
      this.ejectTimer === null &&
      (this.breaker === null || this.breaker.allows)
    );
  }

  offers(method: string): boolean {
    const { methods } = this.registration;
    return methods.includes(method) || methods.includes(ANY_METHOD);
  }
}
