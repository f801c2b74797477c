/** A small HTTP service of a test, on loopback: what it answers is set by the test, what it was asked is kept. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answering = (response: ServerResponse, asked: Asked) => void;

export class JsonServer {
  readonly asked: Asked[] = [];
  answer: Answering;
  readonly #server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => (body += part));
    request.on('end', () => {
      const asked = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
      this.asked.push(asked);
      this.answer(response, asked);
    });
  });

  private constructor(answer: Answering) {
    this.answer = answer;
  }

  static async open(t: Test, answer: Answering = json({})): Promise<JsonServer> {
    const server = new JsonServer(answer);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

export function json(value: unknown, status = 200): Answering {
  return (response) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
}

export function text(body: string, status = 200, headers: Readonly<Record<string, string>> = {}): Answering {
  return (response) => response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(body);
}

/** Never. The connection ends with the server. */
export const silence: Answering = () => {};

/** Answers wait for `release`. */
export function held(answer: Answering): Answering & { release(): void } {
  const waiting: (() => void)[] = [];
  const hold: Answering = (response, asked) => void waiting.push(() => answer(response, asked));
  return Object.assign(hold, {
    release: () => {
      for (const say of waiting.splice(0)) say();
    },
  });
}
