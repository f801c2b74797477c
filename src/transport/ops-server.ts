/**
 * The ops door, on a port of its own (loopback by default): health, metrics, latencies, who is slow, and the ops page.
 *
 * Thread: main. Reads, decides nothing. Not for clients: it has no limits of its own.
 */
import type { OpsState } from '../ops/ops-state.ts';
import { listenExclusively, loadUws } from './uws.ts';
import { statusLine } from './uws-server.ts';
import type { UwsApp, UwsListenSocket, UwsModule, UwsResponse } from './uws-types.ts';

export interface OpsSources {
  health(): { readonly live: boolean; readonly ready: boolean; readonly started: boolean };
  /** Prometheus text. */
  metrics(): Promise<string>;
  /** Percentiles by stage and window. */
  latency(): unknown;
  /** The distribution of a stage as HdrHistogram's plotter reads it; null where there is no such stage or window. */
  hgrm(stage: string, window: string): Promise<string> | null;
  /** The slowest readers, so many at most. */
  slow(countMax: number): readonly unknown[];
  /** What the page shows: asked for once a second by everybody who looks. */
  state(): OpsState;
  /** The page's files by their names under /ops/; '' is the page itself. Asked for at the first request only. */
  page(): Promise<ReadonlyMap<string, OpsPageFile>>;
}

export interface OpsPageFile {
  readonly contentType: string;
  readonly body: Uint8Array;
}

/**
 * The page loads nothing but its own files, and nobody may frame it or read it from another origin. No 'unsafe-inline': its styles are
 * classes, and what a script sets on an element's style object is not inline to a browser.
 */
const PAGE_HEADERS: readonly (readonly [name: string, value: string])[] = [
  [
    'Content-Security-Policy',
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
  ['X-Frame-Options', 'DENY'],
  ['Referrer-Policy', 'no-referrer'],
  ['Cross-Origin-Opener-Policy', 'same-origin'],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  ['Permissions-Policy', 'camera=(), geolocation=(), microphone=()'],
];

const TEXT = 'text/plain; charset=utf-8';
const JSON_TYPE = 'application/json';
const SLOW_DEFAULT = 20;
const SLOW_MAX = 1_000;
const WHAT_IS_HERE =
  'here are /livez, /readyz, /startupz, /metrics, /latency, /latency.hgrm, /debug/slow and, for people, /ops/\n';

export class OpsServer {
  readonly #uws: UwsModule = loadUws();
  readonly #app: UwsApp;
  readonly #options: { readonly host: string; readonly port: number };
  #listening: UwsListenSocket | null = null;

  constructor(options: { readonly host: string; readonly port: number }, sources: OpsSources) {
    this.#options = options;
    this.#app = this.#uws.App();
    for (const [path, field] of [
      ['/livez', 'live'],
      ['/readyz', 'ready'],
      ['/startupz', 'started'],
    ] as const) {
      this.#app.get(path, (response) => {
        const health = sources.health();
        answer(response, health[field] ? 200 : 503, JSON_TYPE, JSON.stringify(health));
      });
    }
    this.#app.get('/latency', (response) => answer(response, 200, JSON_TYPE, JSON.stringify(sources.latency())));
    this.#app.get('/latency.hgrm', (response, request) => {
      const query = new URLSearchParams(request.getQuery() ?? '');
      const stage = query.get('stage') ?? 'publishToLastWrite';
      const window = query.get('window') ?? 'start';
      const text = sources.hgrm(stage, window);
      if (text === null) answer(response, 404, TEXT, `no stage '${stage}' with a window '${window}'; GET /latency names them\n`);
      else answerLater(response, 'the distribution', text, (body) => answer(response, 200, TEXT, body));
    });
    this.#app.get('/debug/slow', (response, request) => {
      const top = new URLSearchParams(request.getQuery() ?? '').get('top') ?? String(SLOW_DEFAULT);
      const count = /^\d{1,6}$/.test(top) ? Number(top) : 0;
      if (count < 1 || count > SLOW_MAX)
        answer(response, 400, TEXT, `top must be an integer in [1, ${SLOW_MAX}], got '${top.slice(0, 32)}'\n`);
      else answer(response, 200, JSON_TYPE, JSON.stringify({ sessions: sources.slow(count) }));
    });
    this.#app.get('/metrics', (response) =>
      answerLater(response, 'the metrics', sources.metrics(), (text) =>
        answer(response, 200, 'text/plain; version=0.0.4; charset=utf-8', text),
      ),
    );
    this.#app.get('/ops/state', (response) => answer(response, 200, JSON_TYPE, JSON.stringify(sources.state()), PAGE_HEADERS));
    // Relative addresses in the page need the slash.
    this.#app.get('/ops', (response) => answer(response, 308, TEXT, 'see /ops/\n', [['Location', '/ops/']]));
    this.#app.get('/ops/*', (response, request) => {
      const name = request.getUrl().slice('/ops/'.length); // Now: the request is gone when the files are there.
      answerLater(response, 'the ops page', sources.page(), (files) => {
        const file = files.get(name);
        if (file === undefined) answer(response, 404, TEXT, WHAT_IS_HERE);
        else answer(response, 200, file.contentType, file.body, PAGE_HEADERS);
      });
    });
    this.#app.any('/*', (response) => answer(response, 404, TEXT, WHAT_IS_HERE));
  }

  async listen(): Promise<number> {
    const { socket, port } = await listenExclusively(this.#app, this.#options, { of: ' (ops port)' });
    this.#listening = socket;
    return port;
  }

  close(): void {
    if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening);
    this.#listening = null;
    this.#app.close();
  }
}

function answer(
  response: UwsResponse,
  status: number,
  contentType: string,
  body: string | Uint8Array,
  headers: readonly (readonly [name: string, value: string])[] = [],
): void {
  response.cork(() => {
    response.writeStatus(statusLine(status)).writeHeader('Content-Type', contentType).writeHeader('Cache-Control', 'no-store');
    response.writeHeader('X-Content-Type-Options', 'nosniff');
    for (const [name, value] of headers) response.writeHeader(name, value);
    response.end(body, true); // One request per connection, as on the public port: what hides behind a body is read by nobody.
  });
}

/** Whoever asked may be gone before the answer is there; then nothing may be said any more. */
function answerLater<T>(response: UwsResponse, what: string, answering: Promise<T>, say: (value: T) => void): void {
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
