/**
 * Platform: what the client needs from where it runs (WebSocket, timers, clock, randomness), each replaceable by a test.
 *
 * Browsers, Node from 22 on, Deno and Bun bring a `WebSocket`. Only where there is none is the package `ws` loaded, if it is installed.
 */
import type { Clock } from '../base/clock.ts';

export interface Timers {
  setTimeout(callback: () => void, delayMs: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** The part of the WebSocket API that the client uses. */
export interface WebSocketLike {
  binaryType: string;
  readonly bufferedAmount: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => WebSocketLike;

export interface Platform {
  readonly clock: Clock;
  readonly timers: Timers;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly webSocket: WebSocketConstructor | undefined;
}

/** Called through arrows: browsers refuse `setTimeout` with another `this`, and tests may replace the global later. */
export const systemTimers: Timers = {
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer as number),
};

/** Timers take 31 bits: a longer delay, Infinity for instance, would fire at once. */
const TIMER_MS_MAX = 0x7fff_ffff;

export function boundedTimers(timers: Timers): Timers {
  return {
    setTimeout: (callback, delayMs) => timers.setTimeout(callback, Math.min(delayMs, TIMER_MS_MAX)),
    clearTimeout: (timer) => timers.clearTimeout(timer),
  };
}

export async function findWebSocket(injected: WebSocketConstructor | undefined): Promise<WebSocketConstructor> {
  if (injected !== undefined) return injected;
  const found = (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
  if (found !== undefined) return found;
  const name = 'ws'; // A variable, so that bundlers do not look for the package.
  try {
    const module = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as { default: WebSocketConstructor };
    return module.default;
  } catch (cause) {
    throw new Error("no WebSocket here: use Node 22, install the package 'ws', or pass options.webSocket", {
      cause,
    });
  }
}
