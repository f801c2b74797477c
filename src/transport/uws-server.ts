/**
 * The relay's public door: WebSockets at /v1/connect and the HTTP routes beside it, on uWebSockets.js, with TLS or without.
 *
 * Thread: the main thread; uWS must not live in a worker (terminating one that holds an App aborts the process). Adapts, decides nothing:
 * admission, sessions and answers are the front's.
 *
 *   without TLS   app ── listens, takes connections
 *   with TLS      gate ── listens ─► app ── takes connections, with the certificates it was made with
 *                              └─► (after a reload) the next app; the old one keeps the connections it has
 */

import type { Clock } from '../base/clock.ts';
import type { Front } from '../front/front.ts';
import type { HttpGateway, HttpResponse } from '../front/http-gateway.ts';
import type { Session } from '../front/session.ts';
import { CONNECT_PATH, SUBPROTOCOL } from '../protocol/types.ts';
import { ClientAddresses } from './client-address.ts';
import { HttpBodies } from './http-bodies.ts';
import { type HttpHead, protocolFault, readHead, tokenOf, WEBSOCKET_VERSION } from './http-head.ts';
import { type Headers, Origins } from './origins.ts';
import type { TlsCertificate } from './tls-files.ts';
import { turnAnswers } from './turn-answers.ts';
import { listenExclusively, loadUws } from './uws.ts';
import { type SocketData, type UpgradeFacts, UwsConnection } from './uws-connection.ts';
import type { UwsApp, UwsListenSocket, UwsModule, UwsRequest, UwsResponse, UwsTlsOptions } from './uws-types.ts';

export interface ServerOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly messageBytesMax: number;
  readonly mergedFrameBytesMax: number;
  readonly sendQueueBytesMax: number;
  readonly httpBodyBytesMax: number;
  /** Of all requests that are being read at once. */
  readonly httpBodiesBytesMax: number;
  /** For one body, from the request's head to its last byte. */
  readonly httpBodyTimeoutMs: number;
  /** Connections that are no WebSocket, or not yet. */
  readonly httpConnectionsMax: number;
  readonly compression: boolean;
  /** Empty: any. */
  readonly allowedOrigins: readonly string[];
  /** Networks whose word on a client's address is believed. */
  readonly trustedProxies: readonly string[];
}

/** Over what the front ever leaves in uWS's buffer (its limit is in the send queues), so that uWS itself never drops, control frames included. */
const BACKPRESSURE_HEADROOM_BYTES = 1_048_576;
/** For TLS 1.2: forward secrecy and no padding to guess at. TLS 1.3 has no others. */
const CIPHERS = 'ECDHE+AESGCM:ECDHE+CHACHA20';
const ADDRESS = new TextDecoder();
/** Of every text of ours: no cache keeps it, no browser takes it for anything else. */
const TEXT_HEADERS: Headers = {
  'Content-Type': 'text/plain; charset=utf-8',
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
};

export class UwsServer {
  readonly #uws: UwsModule = loadUws();
  readonly #front: Front;
  readonly #gateway: HttpGateway;
  readonly #options: ServerOptions;
  readonly #origins: Origins;
  readonly #addresses: ClientAddresses;
  readonly #bodies: HttpBodies;
  /** Takes new connections. */
  #app: UwsApp;
  /** Have taken connections under earlier certificates. uWS never frees an app, so none is left out of `close`. */
  readonly #earlierApps: UwsApp[] = [];
  /** With TLS: listens, and hands each connection to `#app`. */
  readonly #gate: UwsApp | null;
  #listening: UwsListenSocket | null = null;
  /** Connections that are no WebSocket, or not yet. */
  httpConnections = 0;
  httpConnectionsRefused = 0;
  originsRefused = 0;
  /** Requests refused for what their head says: two lengths, and the like. */
  requestsMalformed = 0;

  /** `certificates`: proven (tls-files.ts), the one for everybody first; none: no TLS. Throws where uWS cannot use one. */
  constructor(
    options: ServerOptions,
    front: Front,
    gateway: HttpGateway,
    clock: Clock,
    certificates: readonly TlsCertificate[] = [],
  ) {
    this.#options = options;
    this.#front = front;
    this.#gateway = gateway;
    this.#origins = new Origins(options.allowedOrigins);
    this.#addresses = new ClientAddresses(options.trustedProxies);
    this.#bodies = new HttpBodies(options, clock);
    this.#app = this.#makeApp(certificates);
    // Without a certificate of its own: no connection stays with it.
    this.#gate = certificates.length === 0 ? null : this.#uws.SSLApp({}).addChildAppDescriptor(this.#app.getDescriptor());
  }

  get httpBodiesRefused(): number {
    return this.#bodies.refused;
  }
  get httpBodiesTimedOut(): number {
    return this.#bodies.timedOut;
  }

  /** The port it listens on. Rejects where another process has the port: two servers would share it in silence. */
  async listen(): Promise<number> {
    const { socket, port } = await listenExclusively(this.#gate ?? this.#app, this.#options, { perhaps: ' (another relay?)' });
    this.#listening = socket;
    return port;
  }

  /**
   * From now on new connections get these certificates; those that are open keep theirs. Throws where uWS cannot use one: then nothing has changed.
   * Each call leaves an app behind that uWS never frees (some 32 KB): not to be called where nothing has changed.
   */
  replaceCertificates(certificates: readonly TlsCertificate[]): void {
    if (this.#gate === null || certificates.length === 0)
      throw new Error('TLS cannot be switched on or off while the relay runs');
    const app = this.#makeApp(certificates);
    this.#gate.removeChildAppDescriptor(this.#app.getDescriptor()).addChildAppDescriptor(app.getDescriptor());
    this.#earlierApps.push(this.#app);
    this.#app = app;
  }

  /** Some ten times a second: bodies that take too long. */
  tick(): void {
    this.#bodies.tick();
  }

  /** No new connections; those that are open stay. */
  stopListening(): void {
    if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening);
    this.#listening = null;
  }

  /** Ends everything at once. */
  close(): void {
    this.stopListening();
    turnAnswers.flush();
    for (const app of [...this.#earlierApps, this.#app]) app.close();
    this.#gate?.close();
  }

  #makeApp(certificates: readonly TlsCertificate[]): UwsApp {
    const [main, ...named] = certificates;
    if (main === undefined) return this.#route(this.#uws.App()).filter(this.#countConnection);
    // A named certificate that uWS cannot use is left out in silence; an app of its own is refused.
    for (const certificate of named) this.#makeTlsApp(certificate);
    const app = this.#route(this.#makeTlsApp(main));
    for (const certificate of named) {
      app.addServerName(certificate.serverName, tlsOptions(certificate));
      // Each name has routes of its own, and without them no answer. (uWS writes a line about it to the standard output.)
      this.#route(app.domain(certificate.serverName));
    }
    return app.filter(this.#countConnection);
  }

  #makeTlsApp(certificate: TlsCertificate): UwsApp {
    try {
      return this.#uws.SSLApp(tlsOptions(certificate));
    } catch (cause) {
      const { certFile, keyFile } = certificate;
      throw new Error(`uWebSockets.js cannot use the certificate ${certFile} with the key ${keyFile}`, { cause });
    }
  }

  /** uWS's name for being told of every connection that comes and goes is `filter`. */
  readonly #countConnection = (response: UwsResponse, change: 1 | -1): void => {
    this.httpConnections += change;
    if (change < 0 || this.httpConnections <= this.#options.httpConnectionsMax) return;
    this.httpConnectionsRefused++;
    response.close();
  };

  /** The routes of an app, or of the server name that it was led to. */
  #route(app: UwsApp): UwsApp {
    this.#routeWebSockets(app);
    return app.any('/*', (response, request) => this.#onRequest(response, request));
  }

  #routeWebSockets(app: UwsApp): void {
    const { messageBytesMax, mergedFrameBytesMax, sendQueueBytesMax, compression } = this.#options;
    const front = this.#front;
    app.ws<SocketData>(CONNECT_PATH, {
      compression: compression ? this.#uws.SHARED_COMPRESSOR : this.#uws.DISABLED,
      // uWS cuts the connection without a close code; the front answers 1009 for what is over its own bound and under this one.
      maxPayloadLength: 4 * messageBytesMax,
      idleTimeout: 0, // The front pings, so that its close code says why.
      sendPingsAutomatically: false,
      maxBackpressure: 2 * sendQueueBytesMax + messageBytesMax + mergedFrameBytesMax + BACKPRESSURE_HEADROOM_BYTES,
      closeOnBackpressureLimit: false,
      upgrade: (response, request, context) => {
        const head = readHead(request);
        const refusal = this.#refusalOf(head);
        if (refusal !== null) {
          refuse(response, refusal.status, refusal.text);
          return;
        }
        if (head.webSocketVersion !== WEBSOCKET_VERSION) {
          const text = `Sec-WebSocket-Version must be ${WEBSOCKET_VERSION}`;
          refuse(response, 426, text, { 'Sec-WebSocket-Version': WEBSOCKET_VERSION });
          return;
        }
        const fault = protocolFault(head);
        if (fault !== null) {
          refuse(response, 400, fault);
          return;
        }
        const facts = this.#factsOf(response, head);
        const admission = front.admit(facts.address);
        if (!admission.admitted) {
          refuse(response, admission.status, admission.reason, { 'Retry-After': String(admission.retryAfterSeconds) });
          return;
        }
        const countBefore = this.httpConnections;
        response.upgrade<SocketData>(
          { c: new UwsConnection(compression, facts) },
          request.getHeader('sec-websocket-key'),
          SUBPROTOCOL,
          request.getHeader('sec-websocket-extensions'),
          context,
        );
        // From here on it is a WebSocket, and uWS says no more of it to `#countConnection`.
        if (this.httpConnections === countBefore) this.httpConnections--;
      },
      open: (socket) => {
        const connection = socket.getUserData().c;
        connection.opened(socket);
        connection.session = front.open(connection);
      },
      message: (socket, message, isBinary) => {
        const connection = socket.getUserData().c;
        front.onMessage(connection.session as Session, new Uint8Array(message), isBinary);
        // HELLO may have to wait for a turn with room; until then its token is needed.
        if (connection.token !== null && connection.session?.state.name !== 'greeting') connection.token = null;
      },
      drain: (socket) => front.onDrain(socket.getUserData().c.session as Session),
      pong: (socket) => front.onPong(socket.getUserData().c.session as Session),
      ping: (socket) => front.onPing(socket.getUserData().c.session as Session),
      close: (socket, code) => {
        const connection = socket.getUserData().c;
        connection.closed();
        front.onClose(connection.session as Session, code);
      },
    });
  }

  /** Who comes, as far as the head and the socket say. Synchronously in the handler. */
  #factsOf(response: UwsResponse, head: HttpHead): UpgradeFacts {
    const peer = ADDRESS.decode(response.getRemoteAddressAsText());
    const isAsked = this.#addresses.trustsAnybody;
    const proxied = isAsked ? ADDRESS.decode(response.getProxiedRemoteAddressAsText()) : '';
    return {
      token: tokenOf(head),
      origin: head.origin,
      address: this.#addresses.clientOf(peer, proxied, isAsked ? head.forwardedFor : ''),
    };
  }

  /** What no request may be, and where none may come from. */
  #refusalOf(head: HttpHead): { readonly status: number; readonly text: string } | null {
    if (head.fault !== null) {
      this.requestsMalformed++;
      return { status: 400, text: head.fault };
    }
    if (this.#origins.allows(head.origin)) return null;
    this.originsRefused++;
    return { status: 403, text: `pages of ${head.origin.slice(0, 128)} may not use this relay (allowedOrigins)` };
  }

  #onRequest(response: UwsResponse, request: UwsRequest): void {
    const head = readHead(request);
    const refusal = this.#refusalOf(head);
    if (refusal !== null) {
      refuse(response, refusal.status, refusal.text);
      return;
    }
    const method = request.getCaseSensitiveMethod();
    // `post` is another method than `POST`: a rule of who stands in between may know only the one.
    if (method !== method.toUpperCase()) {
      this.requestsMalformed++;
      refuse(response, 400, 'methods are written in capitals');
      return;
    }
    const path = request.getUrl();
    const preflight = method === 'OPTIONS' ? this.#origins.preflightFor(path, head.origin, head.requestedMethod) : null;
    if (preflight !== null) {
      write(response, { status: 200, headers: { ...preflight, 'Cache-Control': 'no-store' }, body: NO_BODY }, {});
      return;
    }
    const { contentType, accept } = head;
    const asked = { method, path, query: request.getQuery() ?? '', contentType, accept, ...this.#factsOf(response, head) };
    const corsHeaders = this.#origins.headersFor(head.origin);
    let abandon = (): void => {};
    const body = this.#bodies.read(response, {
      complete: (bytes) => {
        abandon = this.#gateway.handle({ ...asked, body: bytes }, (answer) => {
          if (body.release()) write(response, answer, corsHeaders);
        });
      },
      refused: (reason) => {
        const { httpBodiesBytesMax, httpBodyTimeoutMs } = this.#options;
        if (reason === 'tooSlow')
          refuse(response, 408, `the body took too long: httpBodyTimeoutMs=${httpBodyTimeoutMs}`, corsHeaders);
        else {
          const text = `too much is being read at once: httpBodiesBytesMax=${httpBodiesBytesMax}`;
          refuse(response, 503, text, { ...corsHeaders, 'Retry-After': '1' });
        }
      },
      gone: () => abandon(),
    });
  }
}

const NO_BODY = new Uint8Array(0);

function tlsOptions({ certFile, keyFile, passphrase }: TlsCertificate): UwsTlsOptions {
  return {
    cert_file_name: certFile,
    key_file_name: keyFile,
    ssl_ciphers: CIPHERS,
    ...(passphrase === null ? {} : { passphrase }),
  };
}

/** With `nosniff`: what is said to be JSON is nothing else. */
function write(response: UwsResponse, answer: HttpResponse, extra: Headers): void {
  turnAnswers.give(response, () => {
    response.writeStatus(statusLine(answer.status));
    for (const headers of [answer.headers, extra])
      for (const [name, value] of Object.entries(headers)) response.writeHeader(name, value);
    response.writeHeader('X-Content-Type-Options', 'nosniff');
    response.end(answer.body, true); // The second argument closes the connection, and says so.
  });
}

function refuse(response: UwsResponse, status: number, text: string, extra: Headers = {}): void {
  turnAnswers.give(response, () => {
    response.writeStatus(statusLine(status));
    for (const headers of [TEXT_HEADERS, extra])
      for (const [name, value] of Object.entries(headers)) response.writeHeader(name, value);
    response.end(`${text}\n`, true);
  });
}

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  200: 'OK',
  207: 'Multi-Status',
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  507: 'Insufficient Storage',
};

export function statusLine(status: number): string {
  return `${status} ${STATUS_TEXTS[status] ?? 'Status'}`;
}
