/**
 * One call, from its CALL to the last answer. What happens to it: call-table.ts.
 *
 * Thread: the lane's. One object a call, on the hot path: fields only.
 */
import type { Invocation } from '../../protocol/encode.ts';
import { type CallOptions, WINDOW_DEFAULT } from '../../protocol/service-options.ts';
import type { Timer } from '../timers.ts';
import { NO_PROBE } from './breaker.ts';
import type { Instance } from './instance.ts';
import type { Peer } from './peer.ts';
import type { Service } from './service.ts';

export class Call implements Invocation {
  /** A number of its own for each instance that it is given to: a late RETURN of a lost one is nobody's. 0 while it waits. */
  callId = 0;
  readonly caller: Peer;
  /** The caller's; 0: nobody wants the answer. */
  readonly id: number;
  readonly service: Service;
  readonly methodBytes: Uint8Array;
  readonly options: CallOptions;
  /** On the lane's clock. */
  readonly deadlineMs: number;
  /** Null: it waits for an instance with room. */
  instance: Instance | null = null;
  /** Only while it may be needed once more: the call waits, or may run again. */
  payload: Uint8Array | null = null;
  /** Parts that the instance may still send. */
  partsLeft: number;
  partsSent = 0;
  /** Instances that it was given to. */
  attempts = 0;
  startedMs = 0;
  /** When the front received the CALL: for telemetry only. */
  readonly stampUs: number;
  probe = NO_PROBE;
  timer: Timer | null = null;

  constructor(
    caller: Peer,
    id: number,
    service: Service,
    methodBytes: Uint8Array,
    options: CallOptions,
    nowMs: number,
    stampUs = 0,
  ) {
    this.caller = caller;
    this.id = id;
    this.service = service;
    this.methodBytes = methodBytes;
    this.options = options;
    this.deadlineMs = nowMs + options.deadlineMs;
    this.partsLeft = options.window;
    this.stampUs = stampUs;
  }

  // What its INVOKE says.

  get serviceBytes(): Uint8Array {
    return this.service.nameBytes;
  }
  get callerBytes(): Uint8Array {
    return this.caller.nameBytes;
  }
  get headers(): Uint8Array | null {
    return this.options.headers;
  }
  get window(): number {
    return this.partsLeft === WINDOW_DEFAULT ? 0 : this.partsLeft;
  }
}
