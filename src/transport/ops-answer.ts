/** How the ops port answers. Thread: main. */
import { statusLine } from './uws-server.ts';
import type { UwsResponse } from './uws-types.ts';

export const TEXT = 'text/plain; charset=utf-8';
export const JSON_TYPE = 'application/json';

export type Headers = readonly (readonly [name: string, value: string])[];

export function answer(
  response: UwsResponse,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: Headers = [],
): void {
  response.cork(() => {
    response.writeStatus(statusLine(status)).writeHeader('Content-Type', contentType).writeHeader('Cache-Control', 'no-store');
    response.writeHeader('X-Content-Type-Options', 'nosniff');
    for (const [name, value] of headers) response.writeHeader(name, value);
    response.end(body, true); // One request per connection, as on the public port: what hides behind a body is read by nobody.
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
