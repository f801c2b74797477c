/**
 * Answers to HTTP requests, given when uWebSockets.js has read all that came over the request's connection in this turn of the event loop.
 *
 * Thread: main. One request per connection is the rule: what a client, or who stands between, hides behind a request must never be done. uWS closes
 * a connection that was answered only after it has read on: an answer inside its handler, or in a microtask behind that, would let it take what
 * follows for the next request, and hand it to us. As long as there is no answer it cuts the connection at a second request instead.
 */
import type { UwsResponse } from './uws-types.ts';

interface Waiting {
  readonly response: UwsResponse;
  readonly write: () => void;
  isGone: boolean;
}

class TurnAnswers {
  #waiting: Waiting[] = [];

  /** Instead of any answer in place: `write` is called corked, and must end the response and its connection. The response's `onAborted` is ours from now on. */
  give(response: UwsResponse, write: () => void): void {
    const waiting = { response, write, isGone: false };
    response.onAborted(() => {
      waiting.isGone = true;
    });
    if (this.#waiting.push(waiting) === 1) setImmediate(() => this.flush());
  }

  /** At once, since there will be no later: only outside of uWS's handlers. */
  flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { response, write, isGone } of waiting) if (!isGone) response.cork(write);
  }
}

/** One for the thread, as uWS's loop is. */
export const turnAnswers = new TurnAnswers();
