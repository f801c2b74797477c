/** How the ops port answers. Thread: main. */
import { turnAnswers } from './turn-answers.ts';
import { statusLine } from './uws-server.ts';
import type { UwsResponse } from './uws-types.ts';

export const TEXT = 'text/plain; charset=utf-8';
export const JSON_TYPE = 'application/json';

export type Headers = readonly (readonly [name: string, value: string])[];

/** One request per connection, as on the public port. */
export function answer(
  response: UwsResponse,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: Headers = [],
): void {
  turnAnswers.give(response, () => {
    response.writeStatus(statusLine(status)).writeHeader('Content-Type', contentType).writeHeader('Cache-Control', 'no-store');
    response.writeHeader('X-Content-Type-Options', 'nosniff');
    for (const [name, value] of headers) response.writeHeader(name, value);
    response.end(body, true);
  });
}

/** Whoever asked may be gone before the answer is there; then nothing may be said any more. */
export function answerLater<T>(response: UwsResponse, what: string, answering: Promise<T>, say: (value: T) => void): void {
  let aborted = false;
  response.onAborted(() => {
    aborted = true;
  });
  answering.then(
    (value) => {
      if (!aborted) say(value);
    },
    (error: unknown) => {
      if (!aborted) answer(response, 500, TEXT, `${what} could not be read: ${String(error)}\n`);
    },
  );
}
