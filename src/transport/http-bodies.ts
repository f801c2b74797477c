/**
 * Bodies of HTTP requests while they come in: bounded each by size and time, and all together by size.
 *
 * Thread: main. Promise: exactly one of `read`'s handlers is called, once, unless the client is gone first; then `gone` is.
 */
import type { Clock } from '../base/clock.ts';
import type { UwsResponse } from './uws-types.ts';

export interface BodyBounds {
  /** Over it a body is read on, up to as much again, and thrown away: who sends reads no answer before it has sent. */
  readonly httpBodyBytesMax: number;
  /** Of all requests that are being read, or whose answer is waited for. */
  readonly httpBodiesBytesMax: number;
  /** From the head to the last byte. */
  readonly httpBodyTimeoutMs: number;
}

export interface BodyHandlers {
  /** One byte over the bound stands for all that was: the receiver sees that it is too large. */
  complete(body: Uint8Array): void;
  refused(reason: 'tooMuchAtOnce' | 'tooSlow'): void;
  /** The client hung up, before or after `complete`. */
  gone(): void;
}

/** One request's body. Its memory counts until `release`. */
export interface BodyReading {
  /** The answer is being written: false where nobody waits for it any more. */
  release(): boolean;
}

export class HttpBodies {
  /** Requests refused at `httpBodiesBytesMax`. */
  refused = 0;
  timedOut = 0;
  readonly #bounds: BodyBounds;
  readonly #clock: Clock;
  /** Oldest first: all have the same time. */
  readonly #reading = new Set<Reading>();
  #bytes = 0;
  #tooLarge: Uint8Array | null = null;

  constructor(bounds: BodyBounds, clock: Clock) {
    this.#bounds = bounds;
    this.#clock = clock;
  }

  /** Being read right now. */
  get count(): number {
    return this.#reading.size;
  }

  /** Inside uWebSockets.js's handler: it aborts the process where neither an answer nor `onAborted` is there when that returns. */
  read(response: UwsResponse, handlers: BodyHandlers): BodyReading {
    const { httpBodyBytesMax, httpBodiesBytesMax, httpBodyTimeoutMs } = this.#bounds;
    const reading = new Reading(this.#clock.monotonicMs() + httpBodyTimeoutMs, handlers, (bytes) => {
      this.#bytes -= bytes;
    });
    this.#reading.add(reading);
    response.onAborted(() => {
      this.#reading.delete(reading);
      reading.release();
      handlers.gone();
    });
    response.onData((chunk, isLast) => {
      if (!this.#reading.has(reading)) return; // Answered: what still comes is nobody's.
      if (this.#bytes + chunk.byteLength > httpBodiesBytesMax) {
        this.refused++;
        this.#refuse(reading, 'tooMuchAtOnce');
        return;
      }
      reading.receivedBytes += chunk.byteLength;
      if (reading.receivedBytes <= httpBodyBytesMax) {
        reading.keep(new Uint8Array(chunk.slice(0)));
        this.#bytes += chunk.byteLength;
      }
      if (!isLast && reading.receivedBytes <= 2 * httpBodyBytesMax) return;
      this.#reading.delete(reading);
      handlers.complete(reading.receivedBytes > httpBodyBytesMax ? this.#oversized() : reading.body());
    });
    return reading;
  }

  /** Some ten times a second. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const reading of this.#reading) {
      if (reading.deadlineMs > nowMs) return;
      this.timedOut++;
      this.#refuse(reading, 'tooSlow');
    }
  }

  #refuse(reading: Reading, reason: 'tooMuchAtOnce' | 'tooSlow'): void {
    this.#reading.delete(reading);
    reading.release();
    reading.handlers.refused(reason);
  }

  /** Zeros that nobody reads, one piece of memory for all. */
  #oversized(): Uint8Array {
    this.#tooLarge ??= new Uint8Array(this.#bounds.httpBodyBytesMax + 1);
    return this.#tooLarge;
  }
}

class Reading implements BodyReading {
  readonly deadlineMs: number;
  readonly handlers: BodyHandlers;
  receivedBytes = 0;
  readonly #free: (bytes: number) => void;
  #chunks: Uint8Array[] = [];
  #keptBytes = 0;
  #isReleased = false;

  constructor(deadlineMs: number, handlers: BodyHandlers, free: (bytes: number) => void) {
    this.deadlineMs = deadlineMs;
    this.handlers = handlers;
    this.#free = free;
  }

  keep(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#keptBytes += chunk.length;
  }

  body(): Uint8Array {
    const chunks = this.#chunks;
    this.#chunks = [];
    if (chunks.length === 1) return chunks[0] as Uint8Array;
    const body = new Uint8Array(this.#keptBytes);
    let at = 0;
    for (const chunk of chunks) {
      body.set(chunk, at);
      at += chunk.length;
    }
    return body;
  }

  release(): boolean {
    if (this.#isReleased) return false;
    this.#isReleased = true;
    this.#chunks = [];
    this.#free(this.#keptBytes);
    return true;
  }
}
