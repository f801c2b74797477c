/**
 * The ops door, on a port of its own (loopback by default): health, metrics, latencies, who is slow, the ops page, and the admin routes.
 *
 * Thread: main. Decides nothing: who may ask is ops-guard.ts, what is changed ops-admin.ts. Not for clients: it has no limits of its own.
 */
import type { OpsState } from '../ops/ops-state.ts';
import { type AdminSources, refuse, routeAdmin } from './ops-admin.ts';
import { answer, answerLater, JSON_TYPE, TEXT } from './ops-answer.ts';
import { ADMIN_HEADER, type OpsAccess, OpsGuard, type OpsRefusal } from './ops-guard.ts';
import { turnAnswers } from './turn-answers.ts';
import { listenExclusively, loadUws } from './uws.ts';
import type { UwsApp, UwsListenSocket, UwsModule, UwsRequest, UwsResponse } from './uws-types.ts';

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
  readonly admin: AdminSources;
}

export interface OpsServerOptions {
  readonly host: string;
  readonly port: number;
  /** What must be given to see more than health; null: nothing, and the host is loopback. Asked for each time: it may change. */
  readonly token: () => string | null;
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

const SLOW_DEFAULT = 20;
const SLOW_MAX = 1_000;
const WHAT_IS_HERE =
  'here are /livez, /readyz, /startupz, /metrics, /latency, /latency.hgrm, /debug/slow, /admin/ and, for people, /ops/\n';

export class OpsServer {
  readonly #uws: UwsModule = loadUws();
  readonly #app: UwsApp;
  readonly #options: OpsServerOptions;
  readonly #guard: OpsGuard;
  #listening: UwsListenSocket | null = null;

  constructor(options: OpsServerOptions, sources: OpsSources) {
    this.#options = options;
    this.#guard = new OpsGuard(options.token);
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
    this.#get('/latency', (response) => answer(response, 200, JSON_TYPE, JSON.stringify(sources.latency())));
    this.#get('/latency.hgrm', (response, request) => {
      const query = new URLSearchParams(request.getQuery() ?? '');
      const stage = query.get('stage') ?? 'publishToLastWrite';
      const window = query.get('window') ?? 'start';
      const text = sources.hgrm(stage, window);
      if (text === null) answer(response, 404, TEXT, `no stage '${stage}' with a window '${window}'; GET /latency names them\n`);
      else answerLater(response, 'the distribution', text, (body) => answer(response, 200, TEXT, body));
    });
    this.#get('/debug/slow', (response, request) => {
      const top = new URLSearchParams(request.getQuery() ?? '').get('top') ?? String(SLOW_DEFAULT);
      const count = /^\d{1,6}$/.test(top) ? Number(top) : 0;
      if (count < 1 || count > SLOW_MAX)
        answer(response, 400, TEXT, `top must be an integer in [1, ${SLOW_MAX}], got '${top.slice(0, 32)}'\n`);
      else answer(response, 200, JSON_TYPE, JSON.stringify({ sessions: sources.slow(count) }));
    });
    this.#get('/metrics', (response) =>
      answerLater(response, 'the metrics', sources.metrics(), (text) =>
        answer(response, 200, 'text/plain; version=0.0.4; charset=utf-8', text),
      ),
    );
    this.#get('/ops/state', (response) => answer(response, 200, JSON_TYPE, JSON.stringify(sources.state()), PAGE_HEADERS));
    // Relative addresses in the page need the slash.
    this.#get('/ops', (response) => answer(response, 308, TEXT, 'see /ops/\n', [['Location', '/ops/']]));
    this.#get('/ops/*', (response, request) => {
      const name = request.getUrl().slice('/ops/'.length); // Now: the request is gone when the files are there.
      answerLater(response, 'the ops page', sources.page(), (files) => {
        const file = files.get(name);
        if (file === undefined) answer(response, 404, TEXT, WHAT_IS_HERE);
        else answer(response, 200, file.contentType, file.body, PAGE_HEADERS);
      });
    });
    routeAdmin(this.#app, sources.admin, (access, request) => this.#check(access, request));
    this.#app.any('/*', (response) => answer(response, 404, TEXT, WHAT_IS_HERE));
  }

  /** Requests turned away for want of the token, or for what a web page would have sent. */
  get refusedCount(): number {
    return this.#guard.refused;
  }

  async listen(): Promise<number> {
    const { socket, port } = await listenExclusively(this.#app, this.#options, { of: ' (ops port)' });
    this.#listening = socket;
    return port;
  }

  close(): void {
    if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening);
    this.#listening = null;
    turnAnswers.flush();
    this.#app.close();
  }

  /** A route that is read, behind the guard. */
  #get(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): void {
    this.#app.get(pattern, (response, request) => {
      const refusal = this.#check('read', request);
      if (refusal === null) handler(response, request);
      else refuse(response, refusal);
    });
  }

  #check(access: OpsAccess, request: UwsRequest): OpsRefusal | null {
    return this.#guard.check(access, {
      host: request.getHeader('host'),
      authorization: request.getHeader('authorization'),
      admin: request.getHeader(ADMIN_HEADER),
    });
  }
}
